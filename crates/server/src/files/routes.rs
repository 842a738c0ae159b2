//! The routes below `/_/`: what a path names, and the methods that it takes. To add one, add its
//! row.

use http::Method;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Live,
    Ready,
    Limits,
    Metrics,
    /// Leads to the files.
    Front,
    Buckets,
    Bucket,
    Folder,
    Object,
}

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    /// Its path; parts in capitals stand for any.
    path: &'static str,
    /// As an `Allow` header has them.
    pub(super) methods: &'static str,
    pub(super) names: Names,
}

const READ: &str = "GET, HEAD";

static ROUTES: [Route; 11] = [
    Route { path: "/_/health/live", methods: READ, names: Names::Live },
    Route { path: "/_/health/ready", methods: READ, names: Names::Ready },
    Route { path: "/_/limits", methods: READ, names: Names::Limits },
    Route { path: "/_/metrics", methods: READ, names: Names::Metrics },
    Route { path: "/_", methods: READ, names: Names::Front },
    Route { path: "/_/", methods: READ, names: Names::Front },
    Route { path: "/_/files", methods: READ, names: Names::Front },
    Route { path: "/_/files/", methods: READ, names: Names::Buckets },
    Route {
        path: "/_/files/BUCKET/",
        methods: "GET, HEAD, POST, PUT, DELETE",
        names: Names::Bucket,
    },
    Route { path: "/_/files/BUCKET/FOLDER/", methods: "GET, HEAD, POST", names: Names::Folder },
    Route { path: "/_/files/BUCKET/KEY", methods: "GET, HEAD, PUT, DELETE", names: Names::Object },
];

/// All of them, each with its methods as an `Allow` header has them. Parts of a path in capitals
/// stand for any.
pub fn plain_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.path, route.methods))
}

impl Route {
    /// That of a path which is no file's.
    pub(super) fn of_page(path: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.path == path)
    }

    /// That of what a path names.
    pub(super) fn of(names: Names) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.names == names)
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|taken| taken == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_path_can_name_has_a_route() {
        for names in [Names::Buckets, Names::Bucket, Names::Folder, Names::Object] {
            let route = Route::of(names).unwrap();
            assert!(route.takes(&Method::GET) && !route.takes(&Method::PATCH), "{route:?}");
        }
        assert!(Route::of_page("/_/health").is_none());
    }
}
