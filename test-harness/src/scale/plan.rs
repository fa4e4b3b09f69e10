//! What is to be done with very many services, in words.

use std::path::PathBuf;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Services.
    pub copies: u32,
    /// Memory of the host, as `host up` takes it.
    pub memory: String,
    /// What they are made from.
    pub template: String,
    /// Whether they begin with the first packet for them.
    pub dormant: bool,
    /// How many of them are asked once, at random; each is asked if it is all of them.
    pub touch: u32,
    /// How many sleepers are woken one after the other, and as many again several at once; nothing
    /// else is done then.
    pub wake: u32,
    /// A word more for the kernel's command line, to do all of it again with and compare.
    pub against: Option<String>,
    /// Rounds of churn: some services come, some go, some are asked.
    pub churn: u32,
    /// Requests for each slope.
    pub requests: u32,
    /// Slopes of Zipf's law.
    pub alphas: Vec<f64>,
    /// Requests under way at once.
    pub clients: usize,
    /// Words for the kernel's command line.
    pub kernel: Vec<String>,
    /// Whether the host's clock advances by a nanosecond an instruction, whatever this machine does
    /// besides.
    pub counted: bool,
    /// A file to append a line of JSON for each part to.
    pub record: Option<PathBuf>,
}

impl Plan {
    /// Reads words like `copies=10000`. Without any it is ten thousand web servers on 512 MiB, all
    /// asked, then 5,000 requests for each slope from 0.6 to 1.4.
    ///
    /// # Errors
    ///
    /// The word that is wrong.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            copies: 10_000,
            memory: "512M".to_owned(),
            template: "web-server".to_owned(),
            dormant: false,
            touch: u32::MAX,
            wake: 0,
            against: None,
            churn: 0,
            requests: 5_000,
            alphas: vec![0.6, 1.0, 1.4],
            clients: 32,
            kernel: Vec::new(),
            counted: false,
            record: None,
        };
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                return Err(format!("`{word}` is not like copies=10000"));
            };
            let number = || {
                value
                    .parse::<u32>()
                    .map_err(|_| format!("`{word}`: no number"))
            };
            match key {
                "copies" => plan.copies = number()?,
                "memory" => value.clone_into(&mut plan.memory),
                "template" => value.clone_into(&mut plan.template),
                "dormant" => plan.dormant = value == "yes",
                "counted" => plan.counted = value == "yes",
                "touch" => plan.touch = number()?,
                "wake" => plan.wake = number()?,
                "against" => plan.against = Some(value.to_owned()),
                "churn" => plan.churn = number()?,
                "requests" => plan.requests = number()?,
                "alpha" => {
                    let alphas: Result<_, _> = value.split(',').map(str::parse).collect();
                    plan.alphas = alphas.map_err(|_| format!("`{word}`: no numbers"))?;
                }
                "clients" => plan.clients = value.parse().map_err(|_| format!("`{word}`"))?,
                "kernel" => plan.kernel.push(value.to_owned()),
                "record" => plan.record = Some(value.into()),
                _ => return Err(format!("no word `{key}`")),
            }
        }
        plan.touch = plan.touch.min(plan.copies);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_word_by_word() {
        let words = [
            "copies=7",
            "alpha=0.5,1",
            "dormant=yes",
            "kernel=replacement=clock",
            "against=working-set=off",
        ];
        let plan = Plan::parse(&words.map(str::to_owned)).expect("good words");
        assert_eq!((plan.copies, plan.touch, plan.dormant), (7, 7, true));
        assert_eq!(
            (plan.alphas, plan.kernel),
            (vec![0.5, 1.0], vec!["replacement=clock".to_owned()])
        );
        assert_eq!(plan.against.as_deref(), Some("working-set=off"));
        assert!(Plan::parse(&["copies".to_owned()]).is_err());
        assert!(Plan::parse(&["copies=x".to_owned()]).is_err());
    }
}
