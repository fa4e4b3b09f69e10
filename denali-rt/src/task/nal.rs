//! The network behind the traits of `embedded-nal-async`, for clients written for those.

use crate::io::{Error, ErrorKind, Result};
use crate::task::net::{TcpStream, lookup};
use core::net::{IpAddr, SocketAddr};
use embedded_nal_async::{AddrType, Dns, TcpConnect};

/// This VM's network: connects and looks up names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network;

impl TcpConnect for Network {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream> {
        TcpStream::connect(remote).await
    }
}

impl Dns for Network {
    type Error = Error;

    async fn get_host_by_name(&self, host: &str, addr_type: AddrType) -> Result<IpAddr> {
        let addresses = lookup(host).await?;
        let wanted = addresses.into_iter().find(|address| match addr_type {
            AddrType::IPv4 => address.is_ipv4(),
            AddrType::IPv6 => address.is_ipv6(),
            AddrType::Either => true,
        });
        wanted.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Fails: the resolver asks for addresses alone.
    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "names of addresses are not looked up",
        ))
    }
}
