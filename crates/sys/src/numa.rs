//! On which nodes of memory this process allocates (numa(7)).

use rustix::io::Result;

use crate::fd::result;

/// Sets the memory policy of this thread: a mode, `MPOL_…` with `MPOL_F_…` flags, and nodes, a bit each, the first node the lowest
/// bit of the first word (set_mempolicy(2)). It is inherited by what the thread starts and executes.
///
/// `EINVAL` for a mode or flags that the kernel lacks, for nodes that the mode does not take, and where no given node is there and
/// allowed.
pub fn set_policy(mode: u32, nodes: &[u64]) -> Result<()> {
    // The kernel takes one bit fewer than it is told of.
    let bits = nodes.len() * u64::BITS as usize + 1;
    let (nodes, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), bits) };
    // SAFETY: the words are valid for the number of bits, or there are none.
    result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes, bits) }).map(drop)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    const BIND: u32 = 2;
    const LOCAL: u32 = 4;

    #[test]
    fn a_mode_takes_the_nodes_that_it_needs() {
        let set = |mode, nodes: &'static [u64]| std::thread::spawn(move || set_policy(mode, nodes));
        assert_eq!(set(BIND, &[1]).join().unwrap(), Ok(()));
        assert_eq!(set(LOCAL, &[]).join().unwrap(), Ok(()));
        assert_eq!(set(BIND, &[]).join().unwrap(), Err(Errno::INVAL));
        assert_eq!(set(LOCAL, &[1]).join().unwrap(), Err(Errno::INVAL));
    }
}
