//! What the kernel tells of single processes.

use crate::status;

/// The processes that are no descendants of the first one, and not it itself; `parent` tells whose child one is.
pub(super) fn strangers(pids: &[i32], init: i32, parent: impl Fn(i32) -> Option<i32>) -> Vec<i32> {
    let stranger = |pid: &i32| {
        let mut at = *pid;
        // A line of ancestors is no longer than the processes are many; a parent that has ended meanwhile ends it.
        for _ in 0..=pids.len() {
            if at == init {
                return false;
            }
            match parent(at) {
                Some(up) if pids.contains(&up) || up == init => at = up,
                Some(_) => return true,
                None => return false,
            }
        }
        false
    };
    pids.iter().copied().filter(stranger).collect()
}

/// The parent of a process; `None` where it has ended.
pub(super) fn parent(pid: i32) -> Option<i32> {
    status::stat(pid).ok()?.map(|stat| stat.parent)
}

/// Bytes of memory of a process (proc_pid_statm(5)).
pub(super) fn resident(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_by_exec_is_a_stranger_and_so_are_their_children() {
        let parents = [(10, 1), (11, 10), (12, 11), (20, 5), (21, 20)];
        let parent = |pid| parents.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent);
        assert_eq!(strangers(&[10, 11, 12, 20, 21, 30], 10, parent), [20, 21]);
    }

    #[test]
    fn this_process_has_a_parent_and_memory() {
        let own = std::process::id().cast_signed();
        assert_eq!(parent(own), Some(rustix::process::getppid().unwrap().as_raw_nonzero().get()));
        assert!(resident(own) > 1 << 16);
    }
}
