//! `ls`: services, their state and addresses.
//!
//! However many there are, they are looked at and sent a page at a time: neither this host's memory
//! nor anybody's turn grows with their number.

use super::{Format, Stop, Words, print, table};
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use denali_protocol::{Limits, Service, ServiceState, SortKey};

/// Headings of the columns everybody sees.
const HEAD: [&str; 8] = [
    "NAME", "STATE", "ADDRESS", "PORTS", "MEMORY", "RESIDENT", "CPU", "AGE",
];

/// Headings of what `--wide` adds.
const HEAD_WIDE: [&str; 4] = ["WEIGHT", "CAP", "PACKETS", "BYTES"];

/// Services kept while all are looked at for the first ones, at most.
const SORTED_MAX: usize = 1000;

/// Which services to show.
struct Filter<'a> {
    after: Option<&'a str>,
    limit: usize,
    state: Option<ServiceState>,
    name: Option<&'a str>,
    prefix: Option<&'a str>,
    published: bool,
    sort: Option<SortKey>,
}

impl<'a> Filter<'a> {
    fn parse(words: &mut Words<'a>) -> Result<Self, Stop> {
        let limit = match words.option("--limit")? {
            None => usize::MAX,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|limit| *limit > 0)
                .ok_or_else(|| Stop::usage("--limit takes a number above 0"))?,
        };
        let state = match words.option("--state")? {
            None => None,
            Some(name) => Some(ServiceState::from_name(name).ok_or_else(|| {
                Stop::usage(
                    "--state takes running, idle, dormant, paged, stopped, exited or crashed",
                )
            })?),
        };
        let sort = match words.option("--sort")? {
            None => None,
            Some(name) => Some(SortKey::from_name(name).ok_or_else(|| {
                Stop::usage("--sort takes cpu, resident, swapped, faults, frames or wakes")
            })?),
        };
        Ok(Self {
            sort,
            after: words.option("--after")?,
            limit,
            state,
            name: words.option("--name")?,
            prefix: words.option("--prefix")?,
            published: words.flag("--published"),
        })
    }

    fn wants(&self, service: &Service) -> bool {
        self.state.is_none_or(|state| service.state == state)
            && self.prefix.is_none_or(|it| service.name.starts_with(it))
            && (!self.published || !service.publish.is_empty())
    }

    /// Passes services to `show` until there are no more.
    fn walk(
        &self,
        shared: &Shared,
        terminal: &mut dyn Terminal,
        mut show: impl FnMut(&mut dyn Terminal, &[Service]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Some(key) = self.sort else {
            return self.walk_pages(shared, terminal, self.limit, show);
        };
        // What is kept is bounded, however many are looked at.
        let limit = self.limit.min(SORTED_MAX);
        let mut first: Vec<Service> = Vec::new();
        self.walk_pages(shared, terminal, usize::MAX, |_, services| {
            first.extend_from_slice(services);
            first.sort_by(|a, b| key.of(b).cmp(&key.of(a)).then_with(|| a.name.cmp(&b.name)));
            first.truncate(limit);
            Ok(())
        })?;
        show(terminal, &first)
    }

    /// Passes pages of services to `show`, in order of name, up to `limit`.
    fn walk_pages(
        &self,
        shared: &Shared,
        terminal: &mut dyn Terminal,
        limit: usize,
        mut show: impl FnMut(&mut dyn Terminal, &[Service]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if let Some(name) = self.name {
            let found = shared.with(|supervisor| supervisor.view(name));
            let found: Vec<Service> = found.into_iter().filter(|it| self.wants(it)).collect();
            return show(terminal, &found);
        }
        let mut after: Option<Arc<str>> = self.after.map(Arc::from);
        let mut left = limit;
        loop {
            let (services, last) = shared.with(|supervisor| {
                supervisor.page(after.as_deref(), left, |service| self.wants(service))
            });
            if !services.is_empty() {
                show(terminal, &services)?;
            }
            left -= services.len();
            if last.is_none() || left == 0 {
                return Ok(());
            }
            after = last;
            terminal.pause(Duration::ZERO)?;
        }
    }
}

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let wide = words.flag("--wide");
    let filter = Filter::parse(&mut words)?;
    words.end()?;
    match format {
        Format::Json => print_array(&filter, shared, terminal),
        Format::Human => print_table(&filter, wide, shared, terminal),
    }
}

/// Prints one JSON array in one line, piece by piece.
fn print_array(
    filter: &Filter<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let mut separator = "[";
    filter.walk(shared, terminal, |terminal, services| {
        let mut text = String::new();
        for service in services {
            text.push_str(separator);
            separator = ",";
            text.push_str(&super::to_json(service)?);
        }
        print(terminal, &text)
    })?;
    print(terminal, if separator == "[" { "[]\n" } else { "]\n" })
}

fn print_table(
    filter: &Filter<'_>,
    wide: bool,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let mut columns = table::Columns::default();
    let mut is_empty = true;
    filter.walk(shared, terminal, |terminal, services| {
        let mut rows: Vec<Vec<String>> = Vec::new();
        if is_empty && !services.is_empty() {
            is_empty = false;
            let wider = HEAD_WIDE.iter().filter(|_| wide);
            rows.push(HEAD.iter().chain(wider).map(|it| (*it).into()).collect());
        }
        for service in services {
            let mut row = row(service);
            if wide {
                row.extend(limits(&service.limits));
            }
            rows.push(row);
        }
        print(terminal, &columns.render(&rows))
    })?;
    if is_empty {
        print(
            terminal,
            "no services yet: deploy one with `cargo denali deploy`\n",
        )?;
    }
    Ok(())
}

fn limits(limits: &Limits) -> [String; 4] {
    [
        alloc::format!("{}", limits.cpu_weight),
        limits.cap_text(),
        limits.packets_text(),
        limits.bytes_text(),
    ]
}

fn row(service: &Service) -> Vec<String> {
    let state = service.state;
    let state = service.reason.as_ref().map_or_else(
        || state.name().into(),
        |reason| alloc::format!("{state}: {reason}"),
    );
    alloc::vec![
        service.name.clone(),
        state,
        service.address.clone().unwrap_or_else(|| "-".into()),
        table::ports(&service.publish),
        table::kib(service.memory),
        table::kib(service.resident),
        table::duration(service.cpu_ns),
        table::duration(service.age_ns),
    ]
}
