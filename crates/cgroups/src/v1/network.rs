//! The net_cls and net_prio controllers, which v2 does not have (kernel: admin-guide/cgroup-v1/net_cls.rst, net_prio.rst).

use corten_oci::Network;

use crate::step::{Controller, Plan, Version};

const CLASS: Controller = Controller { name: "net_cls", version: Version::V1 };
const PRIORITY: Controller = Controller { name: "net_prio", version: Version::V1 };

/// Adds the steps for network class and priorities.
pub(crate) fn plan(network: &Network, plan: &mut Plan) {
    if let Some(class) = network.class_id.filter(|class| *class != 0) {
        plan.write(CLASS.write("network.classID", "net_cls.classid", class));
    }
    for interface in &network.priorities {
        let value = format!("{} {}", interface.name, interface.priority);
        plan.write(PRIORITY.write("network.priorities", "net_prio.ifpriomap", value));
    }
}
