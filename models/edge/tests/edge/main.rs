//! The server's asynchronous edge, over shuttle's tokio. The scenarios themselves are in `src`.

#[cfg(model_shuttle)]
mod edge;
