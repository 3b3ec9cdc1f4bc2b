//! The hugetlb controller of v2 (kernel: admin-guide/cgroup-v2.rst, "HugeTLB").

use corten_oci::HugepageLimit;

use crate::error::Result;
use crate::step::{Absent, Controller, Plan, Version};
use crate::values::page_size;

const HUGETLB: Controller = Controller { name: "hugetlb", version: Version::V2 };

/// Adds the steps for huge pages: the limit of use, and that of reservation where the kernel has it.
pub(crate) fn plan(limits: &[HugepageLimit], plan: &mut Plan) -> Result<()> {
    for HugepageLimit { page_size: size, limit } in limits {
        let size = page_size(size)?;
        plan.write(HUGETLB.write("hugepageLimits", format!("hugetlb.{size}.max"), limit));
        let reserved = HUGETLB.write("hugepageLimits", format!("hugetlb.{size}.rsvd.max"), limit);
        plan.write(reserved.or(Absent::Ignore));
    }
    Ok(())
}
