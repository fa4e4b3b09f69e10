//! Churn: services come, are asked, are paged and go, and nothing is left of them.

use super::crowd::Crowd;
use crate::load::Zipf;
use denali_protocol::{Host, Service};
use std::net::Ipv4Addr;
use std::time::Instant;

/// Services that come, and that go, in a round.
const CHANGED: usize = 10;

/// Requests in a round.
const ASKED: usize = 50;

/// One part of so many rounds lets everything that grows once grow.
const WARM_UP: u32 = 4;

/// Memory that the supervisor may take more at the end than when all was warm: its heap grows in
/// pieces, and keeps a log of events.
const SLACK_BYTES: u64 = 256 << 10;

/// Has services come and go for as many rounds as are planned. Returns whether every answer was right
/// and nothing grew.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub(super) fn run(crowd: &mut Crowd<'_>) -> bool {
    let rounds = crowd.plan.churn;
    let begun = Instant::now();
    let mut churn = Churn::new(crowd);
    let mut fine = true;
    let mut warm = None;
    for round in 1..=rounds {
        fine &= churn.round(round);
        if round == rounds.div_ceil(WARM_UP) {
            warm = Some(churn.host());
        }
    }
    let (warm, end) = (warm.unwrap_or_else(|| churn.host()), churn.host());
    println!(
        "{rounds} rounds in {:.0} s: {} services came and went",
        begun.elapsed().as_secs_f64(),
        rounds as usize * CHANGED
    );
    for (what, then, now) in [
        ("VMs", warm.vms, end.vms),
        (
            "swap free",
            warm.paging.swap_available,
            end.paging.swap_available,
        ),
        (
            "supervisor's memory",
            warm.memory_supervisor,
            end.memory_supervisor,
        ),
    ] {
        println!("{what}: {then} when warm, {now} at the end");
    }
    let grew = end.vms != warm.vms
        || end.paging.swap_available != warm.paging.swap_available
        || end.memory_supervisor > warm.memory_supervisor + SLACK_BYTES;
    fine && !grew
}

struct Churn<'c, 'p> {
    crowd: &'c mut Crowd<'p>,
    /// Everybody, by name and address.
    present: Vec<(String, Ipv4Addr)>,
    random: Zipf,
}

impl<'c, 'p> Churn<'c, 'p> {
    fn new(crowd: &'c mut Crowd<'p>) -> Self {
        let present = named(crowd, "w-");
        let ranks = u32::try_from(present.len()).unwrap_or(u32::MAX);
        Self {
            crowd,
            present,
            random: Zipf::new(ranks, 0.0, 0xc4),
        }
    }

    /// Some come, some are asked, and as many as came go, awake or asleep. Returns whether every
    /// answer was right.
    fn round(&mut self, round: u32) -> bool {
        let name = format!("r{round}");
        self.crowd.deploy(&name, CHANGED);
        self.present.extend(named(self.crowd, &format!("{name}-")));
        let asked: Vec<Ipv4Addr> = (0..ASKED)
            .map(|_| self.present[self.random.draw()].1)
            .collect();
        let mut asked = asked.into_iter();
        let clients = self.crowd.plan.clients;
        let fine = self
            .crowd
            .part(&format!("round {round}"), clients, || asked.next());
        for _ in 0..CHANGED {
            let (name, _) = self.present.swap_remove(self.random.draw());
            self.crowd.host.remove(&name);
        }
        fine
    }

    fn host(&self) -> Host {
        self.crowd.host.status().answered()
    }
}

/// Returns name and address of the services whose names begin so.
fn named(crowd: &Crowd<'_>, prefix: &str) -> Vec<(String, Ipv4Addr)> {
    let list = ["ls", "--json", "--prefix", prefix];
    let services: Vec<Service> = crowd.host.denali(list).succeeds().json();
    let address = |service: &Service| service.address.as_ref()?.parse().ok();
    let known = services
        .into_iter()
        .filter_map(|service| address(&service).map(|address| (service.name, address)));
    known.collect()
}
