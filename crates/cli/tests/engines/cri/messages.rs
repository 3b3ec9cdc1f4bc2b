//! The messages of the container runtime interface (`runtime.v1` of Kubernetes' cri-api), with the fields that are used.

use std::collections::HashMap;

use prost::Message;

/// How namespaces are shared.
pub const POD: i32 = 0;
pub const CONTAINER: i32 = 1;
pub const NODE: i32 = 2;
pub const TARGET: i32 = 3;

/// Which profile of seccomp or AppArmor.
pub const DEFAULT: i32 = 0;
pub const UNCONFINED: i32 = 1;

/// A message with its fields and their numbers.
macro_rules! messages {
    ($($name:ident { $($field:ident: $type:ty, #[$($attribute:tt)*];)* })*) => {
        $(#[derive(Clone, PartialEq, Message)]
        pub struct $name { $(#[prost($($attribute)*)] pub $field: $type,)* })*
    };
}

messages! {
    Nothing {}

    PodMetadata {
        name: String, #[string, tag = "1"];
        uid: String, #[string, tag = "2"];
        namespace: String, #[string, tag = "3"];
        attempt: u32, #[uint32, tag = "4"];
    }
    PodConfig {
        metadata: Option<PodMetadata>, #[message, optional, tag = "1"];
        hostname: String, #[string, tag = "2"];
        log_directory: String, #[string, tag = "3"];
        labels: HashMap<String, String>, #[map = "string, string", tag = "6"];
        annotations: HashMap<String, String>, #[map = "string, string", tag = "7"];
        linux: Option<LinuxPod>, #[message, optional, tag = "8"];
    }
    LinuxPod {
        cgroup_parent: String, #[string, tag = "1"];
        security_context: Option<PodSecurity>, #[message, optional, tag = "2"];
        sysctls: HashMap<String, String>, #[map = "string, string", tag = "3"];
    }
    PodSecurity {
        namespaces: Option<Namespaces>, #[message, optional, tag = "1"];
        run_as_user: Option<Number>, #[message, optional, tag = "3"];
        privileged: bool, #[bool, tag = "6"];
        seccomp: Option<Profile>, #[message, optional, tag = "9"];
    }
    Namespaces {
        network: i32, #[int32, tag = "1"];
        pid: i32, #[int32, tag = "2"];
        ipc: i32, #[int32, tag = "3"];
        target_id: String, #[string, tag = "4"];
        user: Option<UserNamespace>, #[message, optional, tag = "5"];
    }
    UserNamespace {
        mode: i32, #[int32, tag = "1"];
        uids: Vec<IdMapping>, #[message, repeated, tag = "2"];
        gids: Vec<IdMapping>, #[message, repeated, tag = "3"];
    }
    IdMapping {
        host_id: u32, #[uint32, tag = "1"];
        container_id: u32, #[uint32, tag = "2"];
        length: u32, #[uint32, tag = "3"];
    }
    Number {
        value: i64, #[int64, tag = "1"];
    }
    Amount {
        value: u64, #[uint64, tag = "1"];
    }
    Profile {
        kind: i32, #[int32, tag = "1"];
        localhost_ref: String, #[string, tag = "2"];
    }
    RunPod {
        config: Option<PodConfig>, #[message, optional, tag = "1"];
    }
    // Also what only names a pod or a container.
    Id {
        id: String, #[string, tag = "1"];
    }
    PodStatusAnswer {
        status: Option<PodStatus>, #[message, optional, tag = "1"];
    }
    PodStatus {
        state: i32, #[int32, tag = "3"];
        network: Option<Network>, #[message, optional, tag = "5"];
        linux: Option<LinuxPodStatus>, #[message, optional, tag = "6"];
        labels: HashMap<String, String>, #[map = "string, string", tag = "7"];
    }
    Network {
        ip: String, #[string, tag = "1"];
    }
    LinuxPodStatus {
        namespaces: Option<StatusNamespaces>, #[message, optional, tag = "1"];
    }
    StatusNamespaces {
        options: Option<Namespaces>, #[message, optional, tag = "2"];
    }
    ContainerConfig {
        metadata: Option<ContainerMetadata>, #[message, optional, tag = "1"];
        image: Option<Image>, #[message, optional, tag = "2"];
        command: Vec<String>, #[string, repeated, tag = "3"];
        working_dir: String, #[string, tag = "5"];
        envs: Vec<KeyValue>, #[message, repeated, tag = "6"];
        mounts: Vec<Mount>, #[message, repeated, tag = "7"];
        devices: Vec<Device>, #[message, repeated, tag = "8"];
        labels: HashMap<String, String>, #[map = "string, string", tag = "9"];
        annotations: HashMap<String, String>, #[map = "string, string", tag = "10"];
        log_path: String, #[string, tag = "11"];
        tty: bool, #[bool, tag = "14"];
        linux: Option<LinuxContainer>, #[message, optional, tag = "15"];
    }
    ContainerMetadata {
        name: String, #[string, tag = "1"];
        attempt: u32, #[uint32, tag = "2"];
    }
    Image {
        image: String, #[string, tag = "1"];
    }
    KeyValue {
        key: String, #[string, tag = "1"];
        value: String, #[string, tag = "2"];
    }
    Mount {
        container_path: String, #[string, tag = "1"];
        host_path: String, #[string, tag = "2"];
        readonly: bool, #[bool, tag = "3"];
        propagation: i32, #[int32, tag = "5"];
    }
    Device {
        container_path: String, #[string, tag = "1"];
        host_path: String, #[string, tag = "2"];
        permissions: String, #[string, tag = "3"];
    }
    LinuxContainer {
        resources: Option<Resources>, #[message, optional, tag = "1"];
        security_context: Option<Security>, #[message, optional, tag = "2"];
    }
    Resources {
        cpu_period: i64, #[int64, tag = "1"];
        cpu_quota: i64, #[int64, tag = "2"];
        cpu_shares: i64, #[int64, tag = "3"];
        memory_limit_in_bytes: i64, #[int64, tag = "4"];
        oom_score_adj: i64, #[int64, tag = "5"];
        cpuset_cpus: String, #[string, tag = "6"];
        unified: HashMap<String, String>, #[map = "string, string", tag = "9"];
    }
    Security {
        capabilities: Option<Capabilities>, #[message, optional, tag = "1"];
        privileged: bool, #[bool, tag = "2"];
        namespaces: Option<Namespaces>, #[message, optional, tag = "3"];
        run_as_user: Option<Number>, #[message, optional, tag = "5"];
        run_as_group: Option<Number>, #[message, optional, tag = "12"];
        readonly_rootfs: bool, #[bool, tag = "7"];
        supplemental_groups: Vec<i64>, #[int64, repeated, tag = "8"];
        no_new_privs: bool, #[bool, tag = "11"];
        masked_paths: Vec<String>, #[string, repeated, tag = "13"];
        readonly_paths: Vec<String>, #[string, repeated, tag = "14"];
        seccomp: Option<Profile>, #[message, optional, tag = "15"];
        apparmor: Option<Profile>, #[message, optional, tag = "16"];
    }
    Capabilities {
        add: Vec<String>, #[string, repeated, tag = "1"];
        drop: Vec<String>, #[string, repeated, tag = "2"];
    }
    CreateContainer {
        pod: String, #[string, tag = "1"];
        config: Option<ContainerConfig>, #[message, optional, tag = "2"];
        sandbox_config: Option<PodConfig>, #[message, optional, tag = "3"];
    }
    StopContainer {
        id: String, #[string, tag = "1"];
        timeout: i64, #[int64, tag = "2"];
    }
    ContainerStatusAnswer {
        status: Option<ContainerStatus>, #[message, optional, tag = "1"];
    }
    ContainerStatus {
        state: i32, #[int32, tag = "3"];
        started_at: i64, #[int64, tag = "5"];
        finished_at: i64, #[int64, tag = "6"];
        exit_code: i32, #[int32, tag = "7"];
        reason: String, #[string, tag = "10"];
        message: String, #[string, tag = "11"];
        mounts: Vec<Mount>, #[message, repeated, tag = "14"];
        resources: Option<ContainerResources>, #[message, optional, tag = "16"];
    }
    ContainerResources {
        linux: Option<Resources>, #[message, optional, tag = "1"];
    }
    UpdateResources {
        id: String, #[string, tag = "1"];
        linux: Option<Resources>, #[message, optional, tag = "2"];
    }
    ExecSync {
        id: String, #[string, tag = "1"];
        cmd: Vec<String>, #[string, repeated, tag = "2"];
        timeout: i64, #[int64, tag = "3"];
    }
    ExecSyncAnswer {
        stdout: Vec<u8>, #[bytes = "vec", tag = "1"];
        stderr: Vec<u8>, #[bytes = "vec", tag = "2"];
        exit_code: i32, #[int32, tag = "3"];
    }
    StatusAnswer {
        status: Option<Conditions>, #[message, optional, tag = "1"];
    }
    Conditions {
        conditions: Vec<Condition>, #[message, repeated, tag = "1"];
    }
    Condition {
        kind: String, #[string, tag = "1"];
        status: bool, #[bool, tag = "2"];
    }
    StatsAnswer {
        stats: Option<Stats>, #[message, optional, tag = "1"];
    }
    Stats {
        cpu: Option<CpuUsage>, #[message, optional, tag = "2"];
        memory: Option<MemoryUsage>, #[message, optional, tag = "3"];
    }
    CpuUsage {
        core_nanoseconds: Option<Amount>, #[message, optional, tag = "2"];
    }
    MemoryUsage {
        working_set: Option<Amount>, #[message, optional, tag = "2"];
        available: Option<Amount>, #[message, optional, tag = "3"];
        usage: Option<Amount>, #[message, optional, tag = "4"];
    }
    Listed {
        id: String, #[string, tag = "1"];
    }
    List {
        items: Vec<Listed>, #[message, repeated, tag = "1"];
    }
}
