//! `help`: what there is to type.

use super::{Stop, Words, print};
use crate::terminal::Terminal;

const TEXT: &str = "\
commands:
  ls [--wide] [--json]               services, their state and addresses (also: ps)
     [--limit N] [--after NAME] [--name NAME] [--prefix TEXT] [--state STATE]
     [--published]                   only some of them
     [--sort cpu|resident|swapped|faults|frames|wakes]
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
  checkpoint NAME > FILE             the state of a running service, which goes on
  restore NAME [--json] < FILE       go on from a checkpoint of this host
  clone NAME [--count N] [--json]    more services that go on from where it is:
                                     NAME-1, NAME-2 ...
  rollback NAME [--to N] [--json]    run an earlier release again, as a new one
  secret set NAME --key KEY          keep a secret (on standard input), which is in
                                     the service's environment when it next starts
  secret ls NAME [--json]            the keys of a service's secrets
  secret rm NAME --key KEY           forget a secret
  fit --memory BYTES [--image BYTES] [--json]
                                     how many more VMs with that limit fit
  events [-f] [--service NAME] [--json]
                                     what happened: deployments, orders, crashes
  scale NAME N [--json]              have so many copies: NAME-1, NAME-2 ...
  metrics                            what Prometheus reads of host and services
  host [--json]                      memory, VMs and counters of the host
  host --boot [--json]               what the kernel said while booting: what protects
                                     what, and what stays open
  version [--json]                   versions of supervisor and kernel interface
  wait-for NAME healthy|running|stopped|crashed|gone [TIME]
                                     wait until it is so (60s)
  sleep TIME                         wait: 500ms, 10s, 2m
  sh                                 run the script on standard input
  script put NAME [--on order|boot|crash|full|every-30s]
                                     keep the script on standard input
  script ls [--json], show NAME, run NAME, rm NAME
  key add --role admin|read|deploy [--services web,api-*] KEY
                                     let a key in: ssh-ed25519 AAAA...
  key ls [--json], key rm FINGERPRINT
  help                               this text
scripts:
  a; b   a && b   a || b   ! a   NAME=value   $NAME   $(a)   # comment
  if a; then b; else c; fi           for s in web-*; do a $s; done
  a | grep [-v] [-i] TEXT | head [N] | count | sort [-n] [-r]
  set -e   echo   test A = B   exit [N]
";

pub(super) fn exec(words: Words<'_>, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    words.end()?;
    print(terminal, TEXT)
}
