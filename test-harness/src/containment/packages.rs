//! Packages that no host may take: malformed archives, images and manifests.

use denali_build::image::Image;
use denali_protocol::{
    Address, BUILD_ID_ENTRY, IMAGE_ENTRY, MANIFEST_ENTRY, Manifest, PublishedPort, Transport,
};

/// A name and the bytes of a package.
type Package = (&'static str, Vec<u8>);

/// Offsets in an image's header (`denali_abi::image::ImageHeader`).
mod field {
    pub(super) const MAGIC: usize = 0;
    pub(super) const ABI_VERSION: usize = 8;
    pub(super) const TEXT_PAGES: usize = 16;
    pub(super) const RODATA_PAGES: usize = 20;
    pub(super) const DATA_PAGES: usize = 24;
    pub(super) const BSS_PAGES: usize = 28;
    pub(super) const ENTRY: usize = 32;
    pub(super) const BUILD_ID: usize = 40;
    pub(super) const RESERVED: usize = 60;
}

/// Returns the packages, made from a sound image and its manifest.
pub(super) fn malformed(image: &Image, manifest: &Manifest) -> Vec<Package> {
    let mut packages = archives(image, manifest);
    packages.extend(images(image, manifest));
    packages.extend(manifests(image, manifest));
    packages.extend(texts(image, manifest));
    packages
}

fn archives(image: &Image, manifest: &Manifest) -> Vec<Package> {
    let sound = pack(manifest, image.bytes());
    let json = json(manifest);
    let id = manifest.build_id.as_bytes();
    let entries = [
        (BUILD_ID_ENTRY, id),
        (MANIFEST_ENTRY, &json),
        (IMAGE_ENTRY, image.bytes()),
    ];
    let without = |left_out: usize| {
        let rest: Vec<_> = (0..3).filter(|&index| index != left_out).collect();
        tar(&rest.iter().map(|&index| entries[index]).collect::<Vec<_>>())
    };
    let twice = |index: usize| tar(&[&entries[..], &[entries[index]]].concat());
    let renamed = |name| tar(&[entries[0], (name, &json), entries[2]]);
    vec![
        ("zeros", vec![0; 8192]),
        ("text", b"no archive at all ".repeat(100)),
        ("one-byte", vec![1]),
        ("half", sound[..sound.len() / 2 / 512 * 512].to_vec()),
        ("half-a-header", sound[..300].to_vec()),
        ("without-build-id", without(0)),
        ("without-manifest", without(1)),
        ("without-image", without(2)),
        ("manifest-twice", twice(1)),
        ("image-twice", twice(2)),
        (
            "stranger",
            tar(&[&entries[..], &[("passwd", b"root")]].concat()),
        ),
        ("path-upwards", renamed("dir/../manifest.json")),
        ("path-absolute", renamed("root/manifest.json")),
        ("directory", with_type(&sound, b'5')),
        ("symbolic-link", with_type(&sound, b'2')),
        ("device", with_type(&sound, b'3')),
        ("huge-entry", with_size(&sound, b"77777777777\0")),
        ("negative-entry", with_size(&sound, b"-0000000001\0")),
        (
            "binary-size",
            with_size(&sound, b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
    ]
}

fn images(image: &Image, manifest: &Manifest) -> Vec<Package> {
    let bytes = image.bytes();
    let change = |at: usize, value: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + value.len()].copy_from_slice(value);
        pack(manifest, &bytes)
    };
    let pages = |at: usize, pages: u32| change(at, &pages.to_le_bytes());
    let cut = |length: usize| pack(manifest, &bytes[..length]);
    vec![
        ("elf", change(field::MAGIC, b"\x7fELF\x02\x01\x01\0")),
        (
            "abi-of-the-future",
            pages(field::ABI_VERSION, denali_abi::ABI_VERSION + 1),
        ),
        ("no-text", pages(field::TEXT_PAGES, 0)),
        ("huge-text", pages(field::TEXT_PAGES, u32::MAX)),
        ("huge-rodata", pages(field::RODATA_PAGES, u32::MAX)),
        ("huge-data", pages(field::DATA_PAGES, 1 << 31)),
        ("huge-bss", pages(field::BSS_PAGES, u32::MAX)),
        ("entry-at-zero", change(field::ENTRY, &[0; 8])),
        (
            "entry-in-the-kernel",
            change(field::ENTRY, &0xffff_ffff_8020_0000_u64.to_le_bytes()),
        ),
        (
            "entry-behind-text",
            change(field::ENTRY, &0x1fff_f000_u64.to_le_bytes()),
        ),
        (
            "entry-non-canonical",
            change(field::ENTRY, &(1_u64 << 47).to_le_bytes()),
        ),
        ("reserved-field", pages(field::RESERVED, 1)),
        ("other-build-id", change(field::BUILD_ID, &[0; 20])),
        ("empty-image", pack(manifest, &[])),
        ("header-alone", cut(64)),
        ("first-page-alone", cut(4096)),
        ("a-byte-short", cut(bytes.len() - 1)),
        (
            "a-page-too-long",
            pack(manifest, &[bytes, &[0; 4096]].concat()),
        ),
    ]
}

fn manifests(image: &Image, manifest: &Manifest) -> Vec<Package> {
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        pack(&manifest, image.bytes())
    };
    let port = |host, guest| PublishedPort {
        host,
        guest,
        protocol: Transport::Tcp,
    };
    vec![
        ("format-of-the-future", with(&|it| it.format = 2)),
        ("another-name", with(&|it| it.name = "victim".to_owned())),
        ("another-build-id", with(&|it| it.build_id = "0".repeat(40))),
        ("no-memory", with(&|it| it.memory = 0)),
        ("odd-memory", with(&|it| it.memory += 1)),
        ("too-little-memory", with(&|it| it.memory = 4096)),
        ("all-memory", with(&|it| it.memory = 1 << 40)),
        ("memory-wraps", with(&|it| it.memory = u64::MAX - 4095)),
        (
            "long-arguments",
            with(&|it| it.arguments = vec!["x".repeat(100); 100]),
        ),
        (
            "argument-with-zero",
            with(&|it| it.arguments = vec!["a\0b".to_owned()]),
        ),
        ("port-0", with(&|it| it.publish = vec![port(0, 80)])),
        ("port-to-0", with(&|it| it.publish = vec![port(8080, 0)])),
        (
            "port-twice",
            with(&|it| it.publish = vec![port(8080, 80), port(8080, 81)]),
        ),
        (
            "all-ports",
            with(&|it| it.publish = (1..2000).map(|host| port(host, 80)).collect()),
        ),
        (
            "address-of-supervisor",
            with(&|it| it.address = Some(Address::Static([10, 90, 0, 15]))),
        ),
        (
            "address-of-broadcast",
            with(&|it| it.address = Some(Address::Static([255; 4]))),
        ),
        (
            "address-of-loopback",
            with(&|it| it.address = Some(Address::Static([127, 0, 0, 1]))),
        ),
        (
            "address-of-multicast",
            with(&|it| it.address = Some(Address::Static([224, 0, 0, 1]))),
        ),
    ]
}

fn texts(image: &Image, manifest: &Manifest) -> Vec<Package> {
    let raw = |json: &[u8]| {
        let id = manifest.build_id.as_bytes();
        tar(&[
            (BUILD_ID_ENTRY, id),
            (MANIFEST_ENTRY, json),
            (IMAGE_ENTRY, image.bytes()),
        ])
    };
    let known = String::from_utf8_lossy(&json(manifest)).into_owned();
    let nested = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    vec![
        ("no-json", raw(b"hello")),
        ("empty-manifest", raw(b"")),
        ("no-object", raw(b"[]")),
        (
            "unknown-key",
            raw(known.replacen('{', "{\"root\":true,", 1).as_bytes()),
        ),
        (
            "key-twice",
            raw(known.replacen('{', "{\"memory\":4096,", 1).as_bytes()),
        ),
        (
            "fraction",
            raw(known.replace("2097152", "2097152.5").as_bytes()),
        ),
        (
            "beyond-64-bits",
            raw(known.replace("2097152", "1e400").as_bytes()),
        ),
        ("deeply-nested", raw(nested.as_bytes())),
        ("no-utf-8", raw(&[0xff; 64])),
        (
            "long-manifest",
            raw(format!("{known}{}", " ".repeat(20_000)).as_bytes()),
        ),
    ]
}

fn json(manifest: &Manifest) -> Vec<u8> {
    serde_json::to_vec(manifest).expect("a manifest is JSON")
}

fn pack(manifest: &Manifest, image: &[u8]) -> Vec<u8> {
    let id = manifest.build_id.as_bytes();
    tar(&[
        (BUILD_ID_ENTRY, id),
        (MANIFEST_ENTRY, &json(manifest)),
        (IMAGE_ENTRY, image),
    ])
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, contents) in entries {
        archive.extend_from_slice(&header(name, contents.len()));
        archive.extend_from_slice(contents);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Returns a header of POSIX.1-1988 `ustar`.
fn header(name: &str, length: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, b"0");
    put(257, b"ustar\x0000");
    seal(&mut header);
    header
}

/// Puts the checksum of a header into it.
fn seal(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn with_type(archive: &[u8], kind: u8) -> Vec<u8> {
    let mut archive = archive.to_vec();
    archive[156] = kind;
    seal(&mut archive);
    archive
}

fn with_size(archive: &[u8], size: &[u8; 12]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    archive[124..136].copy_from_slice(size);
    seal(&mut archive);
    archive
}
