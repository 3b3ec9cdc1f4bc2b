//! `corten update`.

use std::io::Read;
use std::path::{Path, PathBuf};

use corten::oci::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources};
use corten::{Id, Runtime};

use crate::error::{Doing, Result, from_json};
use crate::size;

/// Change the resource limits of a running container
///
/// What is not named stays as it is. Where one limit cannot be set, all are put back.
#[derive(Debug, clap::Args)]
pub struct Update {
    /// File with the limits as linux.resources of config.json has them; `-` for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "limits")]
    resources: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    /// Parts of the third-level cache: L3:0=ffff0;1=fff0
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Memory bandwidth, in percent: MB:0=20;1=70
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, clap::Args)]
#[group(id = "limits", multiple = true)]
struct Limits {
    /// Weight against other groups at block devices, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Length of a period of --cpu-quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Processor time in each period, in microseconds; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Processor time that may be saved up for later periods, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_burst: Option<u64>,
    /// Weight against other groups at the processors, 2 to 262144
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Length of a period of --cpu-rt-runtime, in microseconds (cgroup v1)
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Time of real-time programs in each period, in microseconds (cgroup v1)
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to run on: 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use: 0-1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// 1 to run only when nobody else wants to, 0 for not so
    #[arg(long, value_name = "0|1", allow_negative_numbers = true)]
    cpu_idle: Option<i64>,
    /// Memory: 512m; -1 for no limit
    #[arg(long, value_name = "BYTES", value_parser = size::parse, allow_negative_numbers = true)]
    memory: Option<i64>,
    /// Memory that is left to the container when memory is short
    #[arg(long, value_name = "BYTES", value_parser = size::parse, allow_negative_numbers = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for no limit of swap
    #[arg(long, value_name = "BYTES", value_parser = size::parse, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// For runc's sake: the kernel no longer has this limit
    #[arg(long, value_name = "BYTES", value_parser = size::parse, allow_negative_numbers = true, hide = true)]
    kernel_memory: Option<i64>,
    /// For runc's sake: the kernel no longer has this limit
    #[arg(long, value_name = "BYTES", value_parser = size::parse, allow_negative_numbers = true, hide = true)]
    kernel_memory_tcp: Option<i64>,
    /// Processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

/// Runs the command.
pub fn run(runtime: &Runtime, arguments: &Update) -> Result<i32> {
    let resources = match &arguments.resources {
        Some(path) => read(path)?,
        None => arguments.limits.resources()?,
    };
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    match arguments.rdt() {
        None => container.update(&resources)?,
        Some(rdt) if resources == Resources::default() => container.update_rdt(&rdt)?,
        Some(rdt) => container.update_all(&resources, &rdt)?,
    }
    Ok(0)
}

/// Reads the limits from a file. Device rules are left as they are, as runc does: engines send the whole of a
/// container's resources along.
fn read(path: &Path) -> Result<Resources> {
    let text = match path == Path::new("-") {
        true => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).doing(|| "read standard input".to_owned())?;
            text
        }
        false => std::fs::read(path).doing(|| format!("read {}", path.display()))?,
    };
    let resources: Resources = from_json(&text, path)?;
    if !resources.devices.is_empty() {
        tracing::warn!("update leaves the device rules as they are");
    }
    Ok(Resources { devices: Vec::new(), ..resources })
}

impl Update {
    /// Shares of cache and memory bandwidth, if they are to change.
    fn rdt(&self) -> Option<IntelRdt> {
        let Self { l3_cache_schema, mem_bw_schema, .. } = self;
        let rdt = IntelRdt {
            l3_cache_schema: l3_cache_schema.clone(),
            mem_bw_schema: mem_bw_schema.clone(),
            ..IntelRdt::default()
        };
        (rdt != IntelRdt::default()).then_some(rdt)
    }
}

impl Limits {
    fn resources(&self) -> Result<Resources> {
        let memory = Memory {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            kernel: self.kernel_memory,
            kernel_tcp: self.kernel_memory_tcp,
            ..Memory::default()
        };
        let cpu = Cpu {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            idle: self.cpu_idle,
        };
        Ok(Resources {
            memory: Some(memory).filter(|memory| *memory != Memory::default()),
            cpu: Some(cpu).filter(|cpu| *cpu != Cpu::default()),
            pids: self.pids_limit.map(|limit| Pids { limit: Some(limit) }),
            block_io: self.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
            ..Resources::default()
        })
    }
}
