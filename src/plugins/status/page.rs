//! The page: a document, a style, a script, an icon. Nothing comes from elsewhere, nothing stands inline.

/// Path, content type, text.
pub(super) const ASSETS: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/status.css", "text/css; charset=utf-8", include_str!("page/status.css")),
    ("/status.js", "text/javascript; charset=utf-8", include_str!("page/status.js")),
    ("/status.svg", "image/svg+xml", include_str!("page/status.svg")),
];
