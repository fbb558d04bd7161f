//! For programs.

use std::net::IpAddr;

use serde::Serialize;

use crate::output;
use crate::routes::plan::{METRIC, Plan, Route};

#[derive(Serialize)]
struct Json<'a> {
    routes: &'a [Route],
    /// Where the default routes lead that were asked for.
    defaults: &'a [IpAddr],
    metric: u32,
    warnings: &'a [String],
}

pub(super) fn text(plan: &Plan) -> serde_json::Result<String> {
    let json = Json {
        routes: &plan.routes,
        defaults: &plan.defaults,
        metric: METRIC,
        warnings: &plan.warnings,
    };
    output::json(&json)
}
