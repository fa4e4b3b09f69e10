//! Cutting and summing against a plain reference written straight from the RFCs.

use super::*;
use alloc::vec::Vec;

/// Sums 16-bit words the slow way.
fn reference_sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = (total & 0xffff) + (total >> 16);
        }
    }
    u16::try_from(total).unwrap()
}

/// Checks the checksums and lengths of a frame as a receiver does.
fn assert_sound(frame: &[u8]) {
    let v4 = frame[12..14] == [8, 0];
    let transport = if v4 { 34 } else { 54 };
    let protocol = if v4 { frame[23] } else { frame[20] };
    let addresses = if v4 { &frame[26..34] } else { &frame[22..54] };
    if v4 {
        assert_eq!(reference_sum(&[&frame[14..34]]), 0xffff, "IP header");
        assert_eq!(
            usize::from(u16::from_be_bytes([frame[16], frame[17]])),
            frame.len() - 14
        );
    } else {
        assert_eq!(
            usize::from(u16::from_be_bytes([frame[18], frame[19]])),
            frame.len() - 54
        );
    }
    let length = u16::try_from(frame.len() - transport)
        .unwrap()
        .to_be_bytes();
    let pseudo = [&length[..], &[0, protocol]].concat();
    let total = reference_sum(&[addresses, &pseudo, &frame[transport..]]);
    assert_eq!(total, 0xffff, "transport checksum");
}

/// Makes a TCP frame with `payload` bytes, its checksum garbage.
fn tcp(version: Version, controls: u8, payload: usize) -> Vec<u8> {
    let mut frame = Vec::from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    match version {
        Version::V4 => {
            frame.extend([8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0xaa, 0xbb]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        }
        Version::V6 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64]);
            frame.extend((0..32).map(|nth| nth * 7));
        }
    }
    let sequence = 0xffff_f000_u32.to_be_bytes();
    frame.extend([0, 80, 0x9c, 0x40]);
    frame.extend(sequence);
    // Options: twelve bytes.
    frame.extend([1, 2, 3, 4, 0x80, controls, 0x20, 0, 0xde, 0xad, 0, 0]);
    frame.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    frame.extend((0..payload).map(|nth| u8::try_from(nth % 251).unwrap()));
    frame
}

fn wish(version: Version, segment_size: u16) -> Wish {
    let segment = match version {
        Version::V4 => flags::SEGMENT_TCP4,
        Version::V6 => flags::SEGMENT_TCP6,
    };
    Wish {
        flags: flags::CHECKSUM_PARTIAL | segment,
        segment_size,
    }
}

#[test]
fn segments_are_what_the_sender_would_have_sent() {
    for version in [Version::V4, Version::V6] {
        for (payload, size) in [
            (60_000, 1428),
            (1429, 1428),
            (2856, 1428),
            (63, 1),
            (5000, 999),
        ] {
            let mut frame = tcp(version, TCP_FIN | TCP_PSH | TCP_CWR | 16, payload);
            let headers = frame.len() - payload;
            let offload = prepare(&mut frame, wish(version, size)).unwrap();
            assert_eq!(usize::from(offload.header_len), headers);
            let count = segments(&frame, &offload);
            assert_eq!(count, payload.div_ceil(usize::from(size)));
            let mut collected = Vec::new();
            for nth in 0..count {
                let mut segment = [0; FRAME_LEN_MAX];
                let length = cut(&frame, &offload, nth, &mut segment);
                let segment = &segment[..length];
                assert_sound(segment);
                let transport = headers - 32;
                let sequence: [u8; 4] = segment[transport + 4..transport + 8].try_into().unwrap();
                let expected =
                    0xffff_f000_u32.wrapping_add(u32::try_from(collected.len()).unwrap());
                assert_eq!(u32::from_be_bytes(sequence), expected);
                let (is_first, is_last) = (nth == 0, nth + 1 == count);
                let controls = segment[transport + 13];
                assert_eq!(controls & TCP_CWR != 0, is_first);
                assert_eq!(controls & (TCP_FIN | TCP_PSH) != 0, is_last);
                assert_eq!(controls & 16, 16, "all acknowledge");
                if version == Version::V4 {
                    let id = u16::from_be_bytes([segment[18], segment[19]]);
                    assert_eq!(usize::from(id), 0x1234 + nth);
                }
                collected.extend_from_slice(&segment[headers..]);
            }
            assert_eq!(collected, frame[headers..]);
            let mut beyond = [0; FRAME_LEN_MAX];
            assert_eq!(cut(&frame, &offload, count, &mut beyond), 0);
        }
    }
}

#[test]
fn checksums_are_right_for_every_length() {
    let mut random = 1_u64;
    for payload in 0..600 {
        for version in [Version::V4, Version::V6] {
            let mut frame = tcp(version, 16, payload);
            for byte in frame.iter_mut().skip(86) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = random.to_be_bytes()[0];
            }
            let only = Wish {
                flags: flags::CHECKSUM_PARTIAL,
                segment_size: 0,
            };
            let offload = prepare(&mut frame, only).unwrap();
            assert_eq!(
                (offload.flags, offload.segment_size),
                (flags::CHECKSUM_PARTIAL, 0)
            );
            finish(&mut frame);
            assert_sound(&frame);
        }
    }
}

#[test]
fn a_udp_checksum_is_never_zero() {
    let mut frame = tcp(Version::V4, 0, 0);
    frame[23] = protocol::UDP;
    frame.truncate(44);
    let only = Wish {
        flags: flags::CHECKSUM_PARTIAL,
        segment_size: 0,
    };
    // Among all contents of two bytes one makes the sum zero.
    for contents in 0..=u16::MAX {
        frame[42..44].copy_from_slice(&contents.to_be_bytes());
        prepare(&mut frame, only).unwrap();
        finish(&mut frame);
        assert_ne!(frame[40..42], [0, 0]);
    }
    assert_sound(&frame);
}

#[test]
fn the_sum_of_the_pseudo_header_is_ours_and_not_the_senders() {
    let mut frame = tcp(Version::V4, 16, 5000);
    prepare(&mut frame, wish(Version::V4, 1428)).unwrap();
    let length = u16::try_from(frame.len() - 34).unwrap().to_be_bytes();
    let pseudo = [&length[..], &[0, 6]].concat();
    let expected = reference_sum(&[&frame[26..34], &pseudo]);
    assert_eq!(u16::from_be_bytes([frame[50], frame[51]]), expected);
}

#[test]
fn a_super_segment_of_one_segment_is_an_ordinary_frame() {
    let mut frame = tcp(Version::V4, 16, 1000);
    let offload = prepare(&mut frame, wish(Version::V4, 1000)).unwrap();
    assert_eq!(
        (offload.flags, offload.segment_size),
        (flags::CHECKSUM_PARTIAL, 0)
    );
}

#[test]
fn wishes_that_do_not_fit_are_refused() {
    let good = || tcp(Version::V4, 16, 5000);
    let refused = |mut frame: Vec<u8>, wish: Wish, why: &str| {
        assert_eq!(prepare(&mut frame, wish), Err(Refusal::Malformed), "{why}");
    };
    let cut = wish(Version::V4, 1428);
    refused(good(), wish(Version::V6, 1428), "another protocol");
    refused(good(), wish(Version::V4, 0), "no size");
    refused(
        good(),
        wish(Version::V4, 1449),
        "segments longer than a frame",
    );
    refused(
        good(),
        wish(Version::V4, u16::MAX),
        "segments longer than a frame",
    );
    let both = flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;
    refused(good(), Wish { flags: both, ..cut }, "both protocols");
    let partial = flags::CHECKSUM_PARTIAL;
    refused(
        good(),
        Wish {
            flags: partial,
            segment_size: 0,
        },
        "long and not to be cut",
    );
    for controls in [TCP_SYN, TCP_RST, TCP_URG] {
        refused(tcp(Version::V4, controls, 5000), cut, "controls");
    }
    let spoilt = |at: usize, value: u8| {
        let mut frame = good();
        frame[at] = value;
        frame
    };
    refused(spoilt(12, 0x99), cut, "not IP");
    refused(spoilt(14, 0x65), cut, "not version 4");
    refused(spoilt(14, 0x44), cut, "header too short");
    refused(spoilt(20, 0x20), cut, "more fragments");
    refused(spoilt(21, 0x01), cut, "a later fragment");
    refused(spoilt(23, 17), cut, "not TCP");
    refused(
        spoilt(23, 1),
        Wish {
            flags: partial,
            segment_size: 0,
        },
        "no checksum there",
    );
    refused(spoilt(46, 0x40), cut, "TCP header too short");
    for length in 0..good().len().min(66) {
        refused(good()[..length].to_vec(), cut, "cut off");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..200_000 {
        let version = if next() % 2 == 0 {
            Version::V4
        } else {
            Version::V6
        };
        let payload = usize::try_from(next() % 4000).unwrap();
        let mut frame = tcp(version, 16, payload);
        for _ in 0..next() % 4 {
            let at = usize::try_from(next() % 90).unwrap().min(frame.len() - 1);
            frame[at] = next().to_be_bytes()[0];
        }
        frame.truncate(usize::try_from(next() % 5000).unwrap().max(1));
        let [flags, size, ..] = next().to_be_bytes();
        let wish = Wish {
            flags: u16::from(flags) & (flags::CHECKSUM_PARTIAL | SEGMENT),
            segment_size: u16::from(size) * 8,
        };
        let said = Offload {
            flags: wish.flags,
            segment_size: wish.segment_size,
            ..Offload::default()
        };
        let mut received = frame.clone();
        if accept(&mut received, said).is_ok_and(|left| left.segment_size == 0) {
            finish(&mut received);
        }
        let Ok(offload) = prepare(&mut frame, wish) else {
            continue;
        };
        for nth in 0..segments(&frame, &offload) {
            let mut segment = [0; FRAME_LEN_MAX];
            let _ = cut(&frame, &offload, nth, &mut segment);
        }
        finish(&mut frame);
    }
}

/// What a NIC says of a frame from the wire.
fn said(wish: Wish) -> Offload {
    Offload {
        flags: wish.flags,
        segment_size: wish.segment_size,
        ..Offload::default()
    }
}

#[test]
fn a_joined_frame_is_accepted_if_cutting_it_gives_what_was_sent() {
    for version in [Version::V4, Version::V6] {
        let mut sent = tcp(version, TCP_PSH | 16, 20_000);
        prepare(&mut sent, wish(version, 1428)).unwrap();
        let mut received = sent.clone();
        let left = accept(&mut received, said(wish(version, 1428))).unwrap();
        assert_eq!(left.segment_size, 1428);
        assert_eq!(received, sent, "all of it was right already");
        let refused = |frame: &[u8], wish| {
            let result = accept(&mut frame.to_vec(), said(wish));
            assert_eq!(result, Err(Refusal::Malformed));
        };
        refused(&sent[..19_000], wish(version, 1428));
        refused(&[&sent[..], &[0; 6]].concat(), wish(version, 1428));
        refused(&sent, wish(version, 0));
        refused(&sent, wish(version, 9000));
        let other = match version {
            Version::V4 => Version::V6,
            Version::V6 => Version::V4,
        };
        refused(&sent, wish(other, 1428));
        if version == Version::V4 {
            sent[24] ^= 1;
            refused(&sent, wish(version, 1428));
        }
    }
}

#[test]
fn an_ordinary_frame_is_accepted_as_it_is() {
    let partial = Wish {
        flags: flags::CHECKSUM_PARTIAL,
        segment_size: 0,
    };
    let mut frame = tcp(Version::V4, 16, 100);
    let before = frame.clone();
    assert_eq!(accept(&mut frame, said(partial)), Ok(said(partial)));
    assert_eq!(frame, before);
    let mut long = tcp(Version::V4, 16, 2000);
    assert_eq!(accept(&mut long, said(partial)), Err(Refusal::Malformed));
    assert_eq!(
        accept(&mut long, Offload::default()),
        Err(Refusal::Malformed)
    );
}

#[test]
fn padding_behind_a_packet_is_no_part_of_its_checksum() {
    let mut frame = tcp(Version::V4, 16, 0);
    let length = frame.len();
    let partial = Wish {
        flags: flags::CHECKSUM_PARTIAL,
        segment_size: 0,
    };
    prepare(&mut frame, partial).unwrap();
    frame.extend([0x55; 7]);
    finish(&mut frame);
    assert_sound(&frame[..length]);
}
