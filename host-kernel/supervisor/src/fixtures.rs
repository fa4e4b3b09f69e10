//! What the tests of several modules start from.

use crate::checkpoint::body::Page;
use crate::config::{self, Settings};
use crate::hex;
use crate::kernel::fake::FakeKernel;
use crate::kernel::{ConsolePiece, ImageId, Kernel, VmId};
use crate::service::{Origin, Service, name_of};
use crate::supervisor::Supervisor;
use crate::table::SERVICES_MAX;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::DerefMut;
use denali_abi::ABI_VERSION;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{self, HostStatus, VmConfig, VmStatus};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::image::{BUILD_ID_LEN, IMAGE_MAGIC, ImageHeader};
use denali_abi::layout::IMAGE_BASE;
use denali_abi::net::NetworkConfig;
use denali_protocol::{
    BUILD_ID_ENTRY, BootConfig, IMAGE_ENTRY, Limits, MANIFEST_ENTRY, Manifest, PACKAGE_FORMAT,
    PublishedPort, Restart, Transport,
};
use std::sync::{Mutex, MutexGuard};
use zerocopy::IntoBytes as _;

/// A key made by `ssh-keygen -t ed25519` for these tests.
pub(crate) const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG+XDj4Bk4LtP1ndWa6+E4ttT7h38PF5eX0XAn/DtsQ6 admin";

/// Its fingerprint.
pub(crate) const FINGERPRINT: &str = "SHA256:n6W4LgQ+G/bwRW6JVSq8VC+sLJZXh8DK0r/8UseUHgc";

/// Returns a boot configuration with nothing to object to.
pub(crate) fn boot_config() -> BootConfig {
    BootConfig {
        name: "test".into(),
        address: Some("10.90.0.15/16".into()),
        gateway: Some("10.90.0.2".into()),
        dns: Some("10.90.0.3".into()),
        pool: Some("10.90.1.1".into()),
        ssh_port: 22,
        metrics_port: None,
        signed_only: false,
        host_key: "42".repeat(32),
        authorized_keys: vec![PUBLIC_KEY.into()],
    }
}

/// Returns the settings in it.
pub(crate) fn settings() -> Settings {
    config::parse(&serde_json::to_vec(&boot_config()).unwrap()).unwrap()
}

/// Returns the build-id of [`image`].
pub(crate) fn build_id() -> String {
    hex::encode(&[0xb1; BUILD_ID_LEN])
}

/// Returns a manifest with nothing to object to: 1 MiB, publishing port 8080.
pub(crate) fn manifest(name: &str) -> Manifest {
    Manifest {
        format: PACKAGE_FORMAT,
        name: name.into(),
        version: "1.2.3".into(),
        build_id: build_id(),
        memory: 1 << 20,
        publish: vec![PublishedPort {
            host: 8080,
            guest: 80,
            protocol: Transport::Tcp,
        }],
        arguments: vec!["--verbose".into()],
        environment: [("LEVEL".into(), "info".into())].into(),
        address: None,
        limits: Limits::default(),
        volumes: Vec::new(),
        health: None,
        restart: Restart::Never,
    }
}

/// Returns an image of one page each of text, rodata and data.
pub(crate) fn image() -> Vec<u8> {
    let header = ImageHeader {
        magic: IMAGE_MAGIC,
        abi_version: ABI_VERSION,
        memory_pages: 256,
        text_pages: 1,
        rodata_pages: 1,
        data_pages: 1,
        bss_pages: 1,
        entry: IMAGE_BASE,
        build_id: [0xb1; BUILD_ID_LEN],
        reserved: 0,
    };
    let mut image = header.as_bytes().to_vec();
    image.resize(4096, 0);
    image.resize(4 * 4096, 0xc3);
    image
}

/// Returns a tar archive of these entries.
pub(crate) fn tar<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, data) in entries {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(alloc::format!("{:011o}\0", data.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(alloc::format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Returns the package of a service with this manifest.
pub(crate) fn package(manifest: &Manifest) -> Vec<u8> {
    let json = serde_json::to_vec(manifest).unwrap();
    tar([
        (MANIFEST_ENTRY, &json[..]),
        (IMAGE_ENTRY, &image()),
        (BUILD_ID_ENTRY, build_id().as_bytes()),
    ])
}

/// Returns a service as the table holds it.
pub(crate) fn service(name: &str, address: [u8; 4]) -> Service {
    Service {
        name: name.into(),
        image: ImageId(1),
        vm: Some(VmId(1)),
        network: NetworkConfig {
            address,
            ..NetworkConfig::default()
        },
        memory_pages: 256,
        limits: Limits::default(),
        asked_to_stop: false,
        origin: Some(Arc::new(Origin {
            version: manifest(name).version,
            publish: manifest(name).publish,
            arguments: Vec::new(),
            volumes: Vec::new(),
            build_id: [0xb1; BUILD_ID_LEN],
            digest: [0xd1; 32],
            health: None,
            restart: Restart::Never,
        })),
    }
}

/// Returns the services of a supervisor.
pub(crate) fn list(supervisor: &mut Supervisor) -> Vec<denali_protocol::Service> {
    let (services, more) = supervisor.page(None, usize::MAX, |_| true);
    assert_eq!(more, None, "a test has few services");
    services
}

/// The kernel of a test, in the hands of a supervisor and of the test.
#[derive(Clone, Debug)]
pub(crate) struct SharedKernel(Arc<Mutex<FakeKernel>>);

impl SharedKernel {
    /// Returns a host with this many frames.
    pub(crate) fn new(frames: u64) -> Self {
        Self(Arc::new(Mutex::new(FakeKernel::new(frames))))
    }

    /// Returns the fake itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, FakeKernel> {
        self.0
            .lock()
            .expect("no test panics with the kernel in hand")
    }

    /// Returns a supervisor on this kernel, as it is after boot or after a crash.
    pub(crate) fn supervisor(&self) -> Supervisor {
        Supervisor::new(
            Box::new(self.clone()),
            settings(),
            VmId(u64::MAX),
            SERVICES_MAX,
        )
    }

    /// Returns how many VMs and images there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let kernel = self.lock();
        (kernel.vms.len(), kernel.images.len())
    }

    /// Ends the VM of this name as a fault would.
    pub(crate) fn end(&self, name: &str, reason: EndReason, detail: u64) {
        let vm = self.vm_named(name);
        self.lock().end(vm, reason, detail);
    }

    /// Returns the VM of this name.
    pub(crate) fn vm_named(&self, name: &str) -> VmId {
        let kernel = self.lock();
        let found = kernel.vms.values().find(|vm| name_of(&vm.status) == name);
        VmId(found.expect("a VM of that name").status.vm)
    }
}

/// A way to a kernel, on which each call may meet something.
pub(crate) trait Way {
    /// Takes the way, for one call.
    fn kernel(&mut self) -> impl DerefMut<Target: Kernel>;
}

impl Way for SharedKernel {
    fn kernel(&mut self) -> impl DerefMut<Target: Kernel> {
        self.lock()
    }
}

impl<T: Way> Kernel for T {
    fn image_create(&mut self, header: &ImageHeader) -> Result<ImageId, Errno> {
        self.kernel().image_create(header)
    }
    fn image_write(&mut self, image: ImageId, offset: u64, contents: &[u8]) -> Result<(), Errno> {
        self.kernel().image_write(image, offset, contents)
    }
    fn image_header(&mut self, image: ImageId) -> Result<ImageHeader, Errno> {
        self.kernel().image_header(image)
    }
    fn image_read(&mut self, image: ImageId, index: u64, page: &mut Page) -> Result<(), Errno> {
        self.kernel().image_read(image, index, page)
    }
    fn vm_freeze(&mut self, vm: VmId) -> Result<(), Errno> {
        self.kernel().vm_freeze(vm)
    }
    fn vm_succeed(&mut self, vm: VmId) -> Result<(), Errno> {
        self.kernel().vm_succeed(vm)
    }
    fn vm_thaw(&mut self, vm: VmId, state: Option<&control::FrozenVm>) -> Result<(), Errno> {
        self.kernel().vm_thaw(vm, state)
    }
    fn vm_save(&mut self, vm: VmId, state: &mut control::FrozenVm) -> Result<(), Errno> {
        self.kernel().vm_save(vm, state)
    }
    fn page_read(&mut self, vm: VmId, first: u64, page: &mut Page) -> Result<u64, Errno> {
        self.kernel().page_read(vm, first, page)
    }
    fn page_write(&mut self, vm: VmId, number: u64, page: &Page) -> Result<(), Errno> {
        self.kernel().page_write(vm, number, page)
    }
    fn image_destroy(&mut self, image: ImageId) -> Result<(), Errno> {
        self.kernel().image_destroy(image)
    }
    fn vm_create(
        &mut self,
        config: VmConfig,
        arguments: &[u8],
        volumes: &[VolumeConfig],
    ) -> Result<VmId, Errno> {
        self.kernel().vm_create(config, arguments, volumes)
    }
    fn vm_stop(&mut self, vm: VmId) -> Result<(), Errno> {
        self.kernel().vm_stop(vm)
    }
    fn vm_ask_to_stop(&mut self, vm: VmId, deadline_ns: u64) -> Result<(), Errno> {
        self.kernel().vm_ask_to_stop(vm, deadline_ns)
    }
    fn vm_destroy(&mut self, vm: VmId) -> Result<(), Errno> {
        self.kernel().vm_destroy(vm)
    }
    fn vm_status(&mut self, vm: VmId) -> Result<VmStatus, Errno> {
        self.kernel().vm_status(vm)
    }
    fn vm_limits(&mut self, vm: VmId, limits: &control::Limits) -> Result<(), Errno> {
        self.kernel().vm_limits(vm, limits)
    }
    fn vm_next(&mut self, after: Option<VmId>) -> Option<VmId> {
        self.kernel().vm_next(after)
    }
    fn console_read(
        &mut self,
        vm: VmId,
        position: u64,
        buffer: &mut [u8],
    ) -> Result<ConsolePiece, Errno> {
        self.kernel().console_read(vm, position, buffer)
    }
    fn host_status(&mut self) -> HostStatus {
        self.kernel().host_status()
    }
}

/// A device in memory, which outlives the store on it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    blocks: Arc<Mutex<alloc::collections::BTreeMap<u64, Box<denali_store::Contents>>>>,
    count: u64,
}

impl Memory {
    /// Returns a blank device of so many blocks.
    pub(crate) fn new(count: u64) -> Self {
        Self {
            blocks: Arc::default(),
            count,
        }
    }
}

impl denali_store::Device for Memory {
    fn blocks(&self) -> u64 {
        self.count
    }

    fn read(
        &mut self,
        block: u64,
        contents: &mut denali_store::Contents,
    ) -> Result<(), denali_store::IoError> {
        let blocks = self.blocks.lock().expect("no test panics with it in hand");
        *contents = blocks
            .get(&block)
            .map_or([0; denali_store::BLOCK_LEN], |it| **it);
        Ok(())
    }

    fn write(
        &mut self,
        block: u64,
        contents: &denali_store::Contents,
    ) -> Result<(), denali_store::IoError> {
        let mut blocks = self.blocks.lock().expect("no test panics with it in hand");
        blocks.insert(block, Box::new(*contents));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), denali_store::IoError> {
        Ok(())
    }
}
