//! The errors of formats.

/// The reason why a format cannot express a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// DHCP option 121 replaces a client's default route, and the plan has none.
    NoDefaultRoute,
    /// The routes exceed the size of a DHCP option.
    TooManyRoutes { routes: usize },
}
