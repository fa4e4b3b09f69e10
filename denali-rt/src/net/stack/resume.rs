//! What is left of a network after the VM was restored or cloned.
//!
//! Listeners and bound sockets stay. With another identity, connections belong to the VM this one
//! was: here they end as if their peers had reset them.

use super::address::Address;
use super::connection::Path;
use super::service::Cause;
use super::table::ConnectionId;
use super::{Link, Signal, Stack, smol};
use crate::io::ErrorKind;
use crate::time::Instant;
use denali_abi::net::NetworkConfig;
use smoltcp::iface::{Config, Interface};
use smoltcp::wire::EthernetAddress;

impl<L: Link, S: Signal> Stack<L, S> {
    /// Goes on with the network that the kernel describes now, and with new unpredictable numbers.
    /// Addresses that were configured beside it are forgotten, multicast groups too.
    pub(crate) fn resume(&mut self, network: &NetworkConfig, seed: [u64; 2], now: Instant) {
        let mac = EthernetAddress(network.mac).into();
        let mut config = Config::new(mac);
        config.random_seed = seed[0];
        self.port_state = seed[1];
        let interface = Interface::new(config, &mut self.link, smol(now));
        let before = core::mem::replace(&mut self.interface, interface);
        let address = Address::new(network, &mut self.interface, now);
        self.address.replace_by(address);
        let is_another =
            before.hardware_addr() != mac || before.ipv4_addr() != self.interface.ipv4_addr();
        if is_another {
            let foreign = self
                .table
                .select(|connection| connection.path == Path::Wire);
            for id in foreign {
                self.sever(id, now);
            }
        }
        self.groups.change();
    }

    /// Ends a connection that is somebody else's. The switch drops what would be sent for it.
    fn sever(&mut self, id: ConnectionId, now: Instant) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.error.get_or_insert(ErrorKind::ConnectionReset);
            connection.socket_mut().abort();
        }
        self.settle(id, Cause::Frame, now);
        self.mark_ready(id);
    }
}
