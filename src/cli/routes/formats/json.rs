//! JSON for programs.

use std::net::IpAddr;

use serde::Serialize;

use crate::{
    output,
    routes::{
        model::{METRIC, Plan, PlannedRoute},
        warning::Warning,
    },
};

const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    routes: &'a [PlannedRoute],
    /// The next hops of the requested default routes.
    defaults: &'a [IpAddr],
    metric: u32,
    warnings: &'a [Warning],
}

pub(super) fn render(plan: &Plan) -> serde_json::Result<String> {
    output::json(&Document {
        schema: SCHEMA,
        routes: &plan.routes,
        defaults: &plan.defaults,
        metric: METRIC,
        warnings: &plan.warnings,
    })
}
