//! The hardware a job can name, with the Hub's published sizes and prices.

use serde_json::{Value, json};

/// One row of the hardware list.
#[derive(Debug)]
pub(crate) struct Flavor {
    pub(crate) name: &'static str,
    pretty_name: &'static str,
    pub(crate) vcpu: u32,
    pub(crate) ram_gb: u32,
    disk_gb: u32,
    gpu: Option<Gpu>,
    pub(crate) micro_usd_per_minute: u64,
}

#[derive(Debug)]
struct Gpu {
    model: &'static str,
    quantity: u32,
    vram_gb: u32,
}

const fn cpu(
    name: &'static str,
    pretty_name: &'static str,
    (vcpu, ram_gb, disk_gb): (u32, u32, u32),
    micro_usd_per_minute: u64,
) -> Flavor {
    Flavor {
        name,
        pretty_name,
        vcpu,
        ram_gb,
        disk_gb,
        gpu: None,
        micro_usd_per_minute,
    }
}

const fn gpu(
    name: &'static str,
    pretty_name: &'static str,
    (vcpu, ram_gb, disk_gb): (u32, u32, u32),
    (quantity, model, vram_gb): (u32, &'static str, u32),
    micro_usd_per_minute: u64,
) -> Flavor {
    let gpu = Some(Gpu {
        model,
        quantity,
        vram_gb,
    });
    Flavor {
        name,
        pretty_name,
        vcpu,
        ram_gb,
        disk_gb,
        gpu,
        micro_usd_per_minute,
    }
}

/// The flavors the Hub offers for jobs, with prices of August 2026.
///
/// Names, sizes and prices are the published ones; of the display names only two are known, the others follow
/// their pattern. `vram` is the sum over a flavor's accelerators, as in the published table.
pub(crate) const FLAVORS: &[Flavor] = &[
    cpu("cpu-basic", "CPU Basic", (2, 16, 50), 167),
    cpu("cpu-upgrade", "CPU Upgrade", (8, 32, 50), 500),
    cpu("cpu-xl", "CPU XL", (16, 124, 1000), 16_667),
    cpu("cpu-performance", "CPU Performance", (32, 256, 1024), 31_667),
    gpu("t4-small", "Nvidia T4 - small", (4, 15, 50), (1, "T4", 16), 6_667),
    gpu(
        "t4-medium",
        "Nvidia T4 - medium",
        (8, 30, 100),
        (1, "T4", 16),
        10_000,
    ),
    gpu("l4x1", "Nvidia L4", (8, 30, 400), (1, "L4", 24), 13_333),
    gpu("l4x4", "4x Nvidia L4", (48, 186, 3200), (4, "L4", 96), 63_333),
    gpu("l40sx1", "Nvidia L40S", (8, 62, 380), (1, "L40S", 48), 30_000),
    gpu(
        "l40sx4",
        "4x Nvidia L40S",
        (48, 382, 3200),
        (4, "L40S", 192),
        138_333,
    ),
    gpu(
        "l40sx8",
        "8x Nvidia L40S",
        (192, 1534, 6500),
        (8, "L40S", 384),
        391_667,
    ),
    gpu(
        "a10g-small",
        "Nvidia A10G - small",
        (4, 15, 110),
        (1, "A10G", 24),
        16_667,
    ),
    gpu(
        "a10g-large",
        "Nvidia A10G - large",
        (12, 46, 200),
        (1, "A10G", 24),
        25_000,
    ),
    gpu(
        "a10g-largex2",
        "2x Nvidia A10G - large",
        (24, 92, 1000),
        (2, "A10G", 48),
        50_000,
    ),
    gpu(
        "a10g-largex4",
        "4x Nvidia A10G - large",
        (48, 184, 2000),
        (4, "A10G", 96),
        83_333,
    ),
    gpu(
        "a100-large",
        "Nvidia A100 - large",
        (12, 142, 1000),
        (1, "A100", 80),
        41_667,
    ),
    gpu(
        "a100x4",
        "4x Nvidia A100",
        (48, 568, 4000),
        (4, "A100", 320),
        166_667,
    ),
    gpu(
        "a100x8",
        "8x Nvidia A100",
        (96, 1136, 8000),
        (8, "A100", 640),
        333_333,
    ),
    gpu("h200", "Nvidia H200", (23, 256, 3000), (1, "H200", 141), 83_333),
    gpu(
        "h200x2",
        "2x Nvidia H200",
        (46, 512, 6000),
        (2, "H200", 282),
        166_667,
    ),
    gpu(
        "h200x4",
        "4x Nvidia H200",
        (92, 1024, 12_000),
        (4, "H200", 564),
        333_333,
    ),
    gpu(
        "h200x8",
        "8x Nvidia H200",
        (184, 2048, 24_000),
        (8, "H200", 1128),
        666_667,
    ),
    gpu(
        "rtx-pro-6000",
        "Nvidia RTX PRO 6000",
        (23, 256, 475),
        (1, "RTX PRO 6000", 96),
        45_833,
    ),
    gpu(
        "rtx-pro-6000x2",
        "2x Nvidia RTX PRO 6000",
        (46, 512, 950),
        (2, "RTX PRO 6000", 192),
        91_667,
    ),
    gpu(
        "rtx-pro-6000x4",
        "4x Nvidia RTX PRO 6000",
        (92, 1024, 1900),
        (4, "RTX PRO 6000", 384),
        183_333,
    ),
    gpu(
        "rtx-pro-6000x8",
        "8x Nvidia RTX PRO 6000",
        (184, 2048, 3800),
        (8, "RTX PRO 6000", 768),
        366_667,
    ),
];

impl Flavor {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        FLAVORS.iter().find(|flavor| flavor.name == name)
    }

    /// What `ACCELERATOR` says inside a job.
    pub(crate) fn accelerator(&self) -> &'static str {
        if self.gpu.is_some() { self.name } else { "none" }
    }

    pub(crate) fn to_json(&self) -> Value {
        let accelerator = self.gpu.as_ref().map(|gpu| {
            json!({
                "type": "gpu",
                "model": gpu.model,
                "quantity": gpu.quantity.to_string(),
                "vram": format!("{} GB", gpu.vram_gb),
                "manufacturer": "Nvidia",
            })
        });
        json!({
            "name": self.name,
            "prettyName": self.pretty_name,
            "cpu": format!("{} vCPU", self.vcpu),
            "ram": format!("{} GB", self.ram_gb),
            "ephemeralStorage": format!("{} GB", self.disk_gb),
            "accelerator": accelerator,
            "unitCostMicroUSD": self.micro_usd_per_minute,
            "unitCostUSD": self.micro_usd_per_minute as f64 / 1e6,
            "unitLabel": "minute",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_the_shape_the_hub_sends() {
        let flavor = Flavor::find("a10g-small").unwrap().to_json();
        assert_eq!(
            flavor,
            json!({
                "name": "a10g-small", "prettyName": "Nvidia A10G - small", "cpu": "4 vCPU", "ram": "15 GB",
                "ephemeralStorage": "110 GB",
                "accelerator": {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"},
                "unitCostMicroUSD": 16667, "unitCostUSD": 0.016_667, "unitLabel": "minute",
            })
        );
        assert_eq!(
            Flavor::find("cpu-basic").unwrap().to_json()["accelerator"],
            Value::Null
        );
        assert!(Flavor::find("h100").is_none());
    }

    #[test]
    fn names_are_unique() {
        for (index, flavor) in FLAVORS.iter().enumerate() {
            assert!(FLAVORS[index + 1..].iter().all(|other| other.name != flavor.name));
        }
    }
}
