//! The messages of CRIU's RPC, in protocol buffers: the parts of `images/rpc.proto` of CRIU 4.1 that are spoken here.
//!
//! A field that is absent keeps CRIU's default, so that an older CRIU takes what it knows of a message.

use prost::{Enumeration, Message};

/// What is asked for, and what an answer is about (`criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// CRIU could not even read the request.
    Empty = 0,
    /// Save processes.
    Dump = 1,
    /// Bring processes back.
    Restore = 2,
    /// Save memory, and go on.
    PreDump = 4,
    /// A step has been reached; CRIU waits for the same kind as an answer.
    Notify = 6,
    /// What the kernel can do.
    FeatureCheck = 9,
    /// Which CRIU it is.
    Version = 10,
}

/// How control groups are saved and restored (`criu_cg_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum CgroupMode {
    /// As if there were none.
    Ignore = 0,
    /// Properties of those that CRIU makes itself.
    Soft = 3,
    /// All properties.
    Full = 4,
    /// All properties, and no group may be there before.
    Strict = 5,
}

/// How connections are kept from the network meanwhile (`criu_network_lock_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum NetworkLock {
    /// Rules of iptables(8).
    Iptables = 1,
    /// Rules of nft(8).
    Nftables = 2,
    /// Not at all.
    Skip = 3,
}

/// Where the pages go (`criu_page_server_info`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PageServer {
    /// Host.
    #[prost(string, optional, tag = "1")]
    pub address: Option<String>,
    /// TCP port.
    #[prost(int32, optional, tag = "2")]
    pub port: Option<i32>,
}

/// A mount whose file system is the host's (`ext_mount_map`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExternalMount {
    /// On dump the mount point, on restore the name.
    #[prost(string, required, tag = "1")]
    pub key: String,
    /// On dump the name, on restore the path on the host.
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// A namespace to enter on restore (`join_namespace`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinNamespace {
    /// Its kind, as under `/proc/PID/ns`.
    #[prost(string, required, tag = "1")]
    pub kind: String,
    /// Its file.
    #[prost(string, required, tag = "2")]
    pub file: String,
}

/// A descriptor of CRIU's that stands for one in the images (`inherit_fd`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InheritFd {
    /// What the images call it: `pipe:[INODE]`.
    #[prost(string, required, tag = "1")]
    pub key: String,
    /// Its number.
    #[prost(int32, required, tag = "2")]
    pub fd: i32,
}

/// Where the control groups of a hierarchy are restored (`cgroup_root`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CgroupRoot {
    /// Controllers of v1, separated by commas; empty for v2.
    #[prost(string, optional, tag = "1")]
    pub controllers: Option<String>,
    /// Path from the hierarchy's root.
    #[prost(string, required, tag = "2")]
    pub path: String,
}

/// The options of a request (`criu_opts`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Options {
    /// Directory of the images, as a number of the *caller's* descriptors.
    #[prost(int32, required, tag = "1")]
    pub images_dir_fd: i32,
    /// Process to save, with all its descendants.
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    /// Whether it goes on.
    #[prost(bool, optional, tag = "3")]
    pub leave_running: Option<bool>,
    /// Whether connected Unix sockets may have a peer outside.
    #[prost(bool, optional, tag = "4")]
    pub ext_unix_sk: Option<bool>,
    /// Whether established TCP connections are saved.
    #[prost(bool, optional, tag = "5")]
    pub tcp_established: Option<bool>,
    /// Whether any path to a device will do.
    #[prost(bool, optional, tag = "6")]
    pub evasive_devices: Option<bool>,
    /// Whether session and terminal may be the caller's.
    #[prost(bool, optional, tag = "7")]
    pub shell_job: Option<bool>,
    /// Whether file locks are saved.
    #[prost(bool, optional, tag = "8")]
    pub file_locks: Option<bool>,
    /// 1 for errors to 4 for everything.
    #[prost(int32, optional, tag = "9")]
    pub log_level: Option<i32>,
    /// Name of the log in the working directory.
    #[prost(string, optional, tag = "10")]
    pub log_file: Option<String>,
    /// Server that takes the pages.
    #[prost(message, optional, tag = "11")]
    pub page_server: Option<PageServer>,
    /// Whether notifications are sent.
    #[prost(bool, optional, tag = "12")]
    pub notify_scripts: Option<bool>,
    /// Root file system.
    #[prost(string, optional, tag = "13")]
    pub root: Option<String>,
    /// Images of an earlier pre-dump, relative to the images.
    #[prost(string, optional, tag = "14")]
    pub parent_img: Option<String>,
    /// Whether the kernel notes what is written from now on.
    #[prost(bool, optional, tag = "15")]
    pub track_mem: Option<bool>,
    /// Whether what is read or superseded is punched out of older images.
    #[prost(bool, optional, tag = "16")]
    pub auto_dedup: Option<bool>,
    /// Directory of logs, as a number of the caller's descriptors.
    #[prost(int32, optional, tag = "17")]
    pub work_dir_fd: Option<i32>,
    /// Whether deleted files that have other names are linked back.
    #[prost(bool, optional, tag = "18")]
    pub link_remap: Option<bool>,
    /// Mounts of the host's.
    #[prost(message, repeated, tag = "23")]
    pub external_mounts: Vec<ExternalMount>,
    /// Whether control groups are saved and restored, for CRIU before 2.0 .
    #[prost(bool, optional, tag = "24")]
    pub manage_cgroups: Option<bool>,
    /// Where control groups are restored.
    #[prost(message, repeated, tag = "25")]
    pub cgroup_roots: Vec<CgroupRoot>,
    /// Whether the first process becomes a child of the caller.
    #[prost(bool, optional, tag = "26")]
    pub rst_sibling: Option<bool>,
    /// Descriptors of CRIU's that stand for some of the images.
    #[prost(message, repeated, tag = "27")]
    pub inherit_fds: Vec<InheritFd>,
    /// How control groups are saved and restored.
    #[prost(enumeration = "CgroupMode", optional, tag = "34")]
    pub manage_cgroups_mode: Option<i32>,
    /// Other resources of the host's.
    #[prost(string, repeated, tag = "37")]
    pub external: Vec<String>,
    /// Namespaces whose content is not saved or restored, as `CLONE_NEW…` bits.
    #[prost(uint32, optional, tag = "38")]
    pub empty_ns: Option<u32>,
    /// Namespaces to enter.
    #[prost(message, repeated, tag = "39")]
    pub join_ns: Vec<JoinNamespace>,
    /// The v1 freezer's or v2 directory that holds the processes.
    #[prost(string, optional, tag = "44")]
    pub freeze_cgroup: Option<String>,
    /// Whether TCP connections that are being made are left out.
    #[prost(bool, optional, tag = "46")]
    pub tcp_skip_in_flight: Option<bool>,
    /// Whether memory follows later.
    #[prost(bool, optional, tag = "48")]
    pub lazy_pages: Option<bool>,
    /// Gets a zero byte when pages can be asked for, as a number of the caller's descriptors.
    #[prost(int32, optional, tag = "49")]
    pub status_fd: Option<i32>,
    /// Whether the master of a terminal is handed to the caller.
    #[prost(bool, optional, tag = "50")]
    pub orphan_pts_master: Option<bool>,
    /// Options that go before these.
    #[prost(string, optional, tag = "51")]
    pub config_file: Option<String>,
    /// Whether TCP connections are restored closed.
    #[prost(bool, optional, tag = "52")]
    pub tcp_close: Option<bool>,
    /// `apparmor:NAME` or `selinux:LABEL`.
    #[prost(string, optional, tag = "53")]
    pub lsm_profile: Option<String>,
    /// SELinux context of mounts.
    #[prost(string, optional, tag = "63")]
    pub lsm_mount_context: Option<String>,
    /// How connections are kept from the network.
    #[prost(enumeration = "NetworkLock", optional, tag = "64")]
    pub network_lock: Option<i32>,
    /// Whether mounts are restored as by CRIU before 3.17.
    #[prost(bool, optional, tag = "65")]
    pub mntns_compat_mode: Option<bool>,
}

/// What the kernel can do (`criu_features`): asked for with `true`, answered with what is so.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Features {
    /// Tell which memory was written.
    #[prost(bool, optional, tag = "1")]
    pub mem_track: Option<bool>,
    /// Let memory follow later.
    #[prost(bool, optional, tag = "2")]
    pub lazy_pages: Option<bool>,
}

/// A request (`criu_req`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Request {
    /// What is asked for.
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub kind: i32,
    /// Its options.
    #[prost(message, optional, tag = "2")]
    pub options: Option<Options>,
    /// The answer to a notification: whether CRIU may go on.
    #[prost(bool, optional, tag = "3")]
    pub notify_success: Option<bool>,
    /// Whether another request follows; a save or a restore can only be the last one.
    #[prost(bool, optional, tag = "4")]
    pub keep_open: Option<bool>,
    /// The features that are asked for.
    #[prost(message, optional, tag = "5")]
    pub features: Option<Features>,
}

/// The process that was restored (`criu_restore_resp`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Restored {
    /// Its id, as CRIU's pid namespace has it.
    #[prost(int32, required, tag = "1")]
    pub pid: i32,
}

/// A step (`criu_notify`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Notified {
    /// Which.
    #[prost(string, optional, tag = "1")]
    pub script: Option<String>,
    /// The first process.
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
}

/// An answer (`criu_resp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Response {
    /// What it is about.
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub kind: i32,
    /// Whether it was done.
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    /// The process that was restored.
    #[prost(message, optional, tag = "4")]
    pub restored: Option<Restored>,
    /// The step that has been reached.
    #[prost(message, optional, tag = "5")]
    pub notified: Option<Notified>,
    /// The kernel's error number, where it was the reason.
    #[prost(int32, optional, tag = "7")]
    pub errno: Option<i32>,
    /// What the kernel can do.
    #[prost(message, optional, tag = "8")]
    pub features: Option<Features>,
    /// Why it was not done.
    #[prost(string, optional, tag = "9")]
    pub message: Option<String>,
    /// Which CRIU it is.
    #[prost(message, optional, tag = "10")]
    pub version: Option<Numbers>,
}

/// A version (`criu_version`).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Numbers {
    /// The first number.
    #[prost(int32, required, tag = "1")]
    pub major: i32,
    /// The second.
    #[prost(int32, required, tag = "2")]
    pub minor: i32,
    /// The third.
    #[prost(int32, optional, tag = "4")]
    pub sublevel: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that CRIU's own descriptors ask for: field number and wire type, then the value.
    #[test]
    fn messages_have_crius_numbers() {
        let request = Request {
            kind: Kind::FeatureCheck.into(),
            features: Some(Features { mem_track: Some(true), lazy_pages: None }),
            ..Request::default()
        };
        assert_eq!(request.encode_to_vec(), [0x08, 9, 0x2a, 2, 0x08, 1]);
        let options = Options {
            images_dir_fd: 7,
            network_lock: Some(NetworkLock::Skip.into()),
            lsm_mount_context: Some("x".to_owned()),
            ..Options::default()
        };
        assert_eq!(options.encode_to_vec(), [0x08, 7, 0xfa, 3, 1, b'x', 0x80, 4, 3]);
    }

    #[test]
    fn an_answer_with_fields_of_a_newer_criu_is_read() {
        let bytes = [0x08, 2, 0x10, 1, 0x22, 2, 0x08, 42, 0xf8, 0x7f, 1];
        let response = Response::decode(bytes.as_slice()).unwrap();
        assert_eq!((response.success, response.restored.unwrap().pid), (true, 42));
        let version =
            Response::decode([0x08, 10, 0x10, 1, 0x52, 6, 0x08, 4, 0x10, 1, 0x20, 2].as_slice()).unwrap();
        assert_eq!(version.version.unwrap(), Numbers { major: 4, minor: 1, sublevel: Some(2) });
    }
}
