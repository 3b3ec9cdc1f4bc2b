//! The hugetlb controller of v1 (kernel: admin-guide/cgroup-v1/hugetlb.rst).

use corten_oci::HugepageLimit;

use crate::error::Result;
use crate::step::{Absent, Controller, Plan, Version};
use crate::values::page_size;

const HUGETLB: Controller = Controller { name: "hugetlb", version: Version::V1 };

/// Adds the steps for huge pages: the limit of use, and that of reservation where the kernel has it.
pub(crate) fn plan(limits: &[HugepageLimit], plan: &mut Plan) -> Result<()> {
    for HugepageLimit { page_size: size, limit } in limits {
        let size = page_size(size)?;
        plan.write(HUGETLB.write("hugepageLimits", format!("hugetlb.{size}.limit_in_bytes"), limit));
        let reserved = HUGETLB.write("hugepageLimits", format!("hugetlb.{size}.rsvd.limit_in_bytes"), limit);
        plan.write(reserved.or(Absent::Ignore));
    }
    Ok(())
}
