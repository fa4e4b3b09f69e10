//! The frames of the model: IPv4 with an unassigned protocol and the number of a request.

use crate::host::network;

pub(super) fn frame(destination: [u8; 6], number: u32, length: usize, id: u64) -> Vec<u8> {
    let config = network(number);
    let mut frame = [destination, config.mac].concat();
    let [high, low] = u16::try_from(length - 14).expect("a frame").to_be_bytes();
    frame.extend_from_slice(&[8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&config.address);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.resize(length, 0);
    frame
}

pub(super) fn id_of(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[34..42].try_into().expect("eight bytes"))
}
