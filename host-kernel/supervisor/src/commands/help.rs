//! `help`: what there is to type.

use super::{Stop, Words, print};
use crate::terminal::Terminal;

const TEXT: &str = "\
commands:
  ls [--wide] [--json]               services, their state and addresses (also: ps)
     [--limit N] [--after NAME] [--name NAME] [--prefix TEXT] [--state STATE]
     [--published]                   only some of them
     [--sort cpu|resident|swapped|faults|frames]
                                     the first by that, at most 1000
  deploy NAME --length N --sha256 HEX [--copies N] [--dormant] [--json]
                                     run the package on standard input
                                     (easier: cargo denali deploy)
  logs NAME [-f] [--lines N] [--json]
                                     what a service printed; -f follows
  stop NAME [--deadline SECONDS] [--json]
                                     ask a service to end, end it at the deadline
                                     (10 s; 0 at once); it stays listed
  start NAME [--json]                run a stopped or ended service again
  rm NAME [--json]                   end a service and free what it had
  limits NAME [--weight N] [--cap PART] [--packets RATE] [--bytes RATE] [--json]
                                     what a service may take of CPU and network;
                                     PART as 0.5, RATE as 10k/s, or none
  releases NAME [--json]             what was deployed, when, by whom
  rollback NAME [--to N] [--json]    run an earlier release again, as a new one
  secret set NAME --key KEY          keep a secret (on standard input), which is in
                                     the service's environment when it next starts
  secret ls NAME [--json]            the keys of a service's secrets
  secret rm NAME --key KEY           forget a secret
  fit --memory BYTES [--image BYTES] [--json]
                                     how many more VMs with that limit fit
  host [--json]                      memory, VMs and counters of the host
  version [--json]                   versions of supervisor and kernel interface
  help                               this text
";

pub(super) fn exec(words: Words<'_>, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    words.end()?;
    print(terminal, TEXT)
}
