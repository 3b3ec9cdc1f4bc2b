//! The seccomp filter of a container: from its profile, and its listener on the way to an agent.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use corten_init::payload::Seccomp;
use corten_seccomp::{Filter, Instruction};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::{Config, Error, Result, oci};

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (linux/seccomp.h).
const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The flags that are known here and that this machine's kernel takes.
pub(crate) fn supported_flags() -> Vec<&'static str> {
    let supported =
        |name: &&&str| corten_seccomp::flag_bits(name).is_some_and(corten_sys::seccomp::knows_flags);
    corten_seccomp::known_flags().iter().filter(supported).copied().collect()
}

/// The filter that the programs of a container get.
pub(crate) fn filter(config: &Config) -> Result<Option<Seccomp>> {
    let Some(Filter { program, flags, notifies, warnings }) = config.seccomp_filter()? else {
        return Ok(None);
    };
    warnings.iter().for_each(|warning| tracing::debug!("linux.seccomp: {warning}"));
    // It is about notifications, and refused without.
    let flags = if *notifies { *flags } else { flags & !WAIT_KILLABLE_RECV };
    if flags != 0 && !corten_sys::seccomp::knows_flags(flags) {
        let known = config.seccomp().and_then(|profile| profile.flags.clone()).unwrap_or_default();
        return Err(Error::unsupported(format!("this kernel lacks one of linux.seccomp.flags {known:?}")));
    }
    Ok(Some(Seccomp { program: program.iter().map(word).collect(), flags, listener: *notifies }))
}

/// An instruction as one number.
fn word(instruction: &Instruction) -> u64 {
    let Instruction { code, jt, jf, k } = *instruction;
    u64::from(code) | u64::from(jt) << 16 | u64::from(jf) << 24 | u64::from(k) << 32
}

/// What an agent is told of the process whose calls it will be asked about.
pub(crate) fn process_state(
    pid: i32,
    profile: &oci::Seccomp,
    state: oci::State,
) -> oci::ContainerProcessState {
    oci::ContainerProcessState {
        oci_version: oci::VERSION.to_owned(),
        fds: vec![oci::SECCOMP_FD_NAME.to_owned()],
        pid,
        metadata: profile.listener_metadata.clone().unwrap_or_default(),
        state,
    }
}

/// Sends the listener to the agent at a socket, in one message with the state of the process
/// (specification: `config-linux.md#containerprocessstate`).
pub(crate) fn send(path: &str, state: &oci::ContainerProcessState, listener: OwnedFd) -> Result<()> {
    let socket = UnixStream::connect(path).map_err(|error| {
        Error::io(
            format!(
                "failed to connect with seccomp agent specified in the seccomp profile: connect to {path}"
            ),
            error,
        )
    })?;
    let failed = |error: std::io::Error| Error::io(format!("cannot send seccomp fd to {path}"), error);
    let json = serde_json::to_vec(state).map_err(|error| failed(error.into()))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let first = [IoSlice::new(&json)];
    let sent = rustix::io::retry_on_intr(|| sendmsg(&socket, &first, &mut control, SendFlags::NOSIGNAL));
    let mut rest = json.get(sent.map_err(|errno| failed(errno.into()))?..).unwrap_or_default();
    while !rest.is_empty() {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&socket, rest, SendFlags::NOSIGNAL));
        rest = rest.get(sent.map_err(|errno| failed(errno.into()))?..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_its_parts_in_their_places() {
        let instruction = Instruction { code: 0x0615, jt: 0x12, jf: 0x34, k: 0x5678_9abc };
        assert_eq!(word(&instruction), 0x5678_9abc_3412_0615);
    }

    #[test]
    fn an_agent_that_is_not_there_is_named() {
        let listener = std::fs::File::open("/dev/null").unwrap().into();
        let state = oci::ContainerProcessState::default();
        let error = send("/nonexistent/agent", &state, listener).unwrap_err().to_string();
        assert!(error.contains("failed to connect with seccomp agent"), "{error}");
        assert!(error.ends_with("/nonexistent/agent: no such file or directory"), "{error}");
    }
}
