//! A request's body, as the faces read it.

use drystone_edge::drain;
use hyper::body::Incoming;

/// What a face does not read of it is drained.
pub(crate) type RequestBody = drain::RequestBody<Incoming>;
/// Gets back what is left of it.
pub(crate) type Unread = drain::Unread<Incoming>;
