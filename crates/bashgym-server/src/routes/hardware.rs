//! What a job can run on, and what that costs.

use axum::extract::State;
use hf_jobs::JobHardware;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// A flavor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hardware {
    /// The name a job asks for.
    name: String,
    /// The name people read.
    #[schema(required)]
    pretty_name: Option<String>,
    /// Its processors.
    #[schema(required)]
    cpu: Option<String>,
    /// Its memory.
    #[schema(required)]
    ram: Option<String>,
    /// Its accelerator.
    #[schema(value_type = Option<Object>, required)]
    accelerator: Option<Value>,
    /// The price of a minute in millionths of a US dollar; null is unknown, not free.
    #[schema(required)]
    price_micro_usd_per_minute: Option<u64>,
}

impl From<JobHardware> for Hardware {
    fn from(hardware: JobHardware) -> Self {
        let accelerator = hardware.accelerator.as_ref();
        Self {
            price_micro_usd_per_minute: hardware.micro_usd_per_minute(),
            accelerator: accelerator.and_then(|accelerator| serde_json::to_value(accelerator).ok()),
            name: hardware.name,
            pretty_name: hardware.pretty_name,
            cpu: hardware.cpu,
            ram: hardware.ram,
        }
    }
}

/// The hardware a job can ask for, with its prices, as the Hub lists it now.
#[utoipa::path(get, path = "/api/hf/hardware", tag = "hugging face",
    responses((status = 200, body = Vec<Hardware>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<axum::Json<Vec<Hardware>>, Problem> {
    let all = state.hub().await?.jobs().hardware().await?;
    Ok(axum::Json(all.into_iter().map(Hardware::from).collect()))
}
