//! A JSON API that shortens links: axum, with tower's middleware in front of it.
//!
//! | request             | answer                                    |
//! |---------------------|-------------------------------------------|
//! | `POST /links`       | takes `{"url": …}`, returns it with a code |
//! | `GET /links/{code}` | the link and how often it was followed    |
//! | `GET /{code}`       | leads to the URL                          |

use axum::error_handling::HandleErrorLayer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use denali_std as _;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// Most bytes of a request's body.
const BODY_MAX: usize = 4096;

/// Most requests worked on at once; more are turned away.
const REQUESTS_MAX: usize = 256;

/// Most links kept.
const LINKS_MAX: usize = 10_000;

/// What a client sends.
#[derive(Deserialize)]
struct Wish {
    url: String,
}

/// What is known of a link.
#[derive(Clone, Serialize)]
struct Link {
    code: String,
    url: String,
    followed: u64,
}

type Links = Arc<Mutex<HashMap<String, Link>>>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 80)).await?;
    println!("listening on port 80");
    axum::serve(listener, app()).await
}

fn app() -> Router {
    let refuse = |_| async { StatusCode::SERVICE_UNAVAILABLE };
    let middleware = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(HandleErrorLayer::new(refuse))
        .load_shed()
        .concurrency_limit(REQUESTS_MAX)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(10),
        ));
    Router::new()
        .route("/links", post(shorten))
        .route("/links/{code}", get(show))
        .route("/{code}", get(follow))
        .layer(RequestBodyLimitLayer::new(BODY_MAX))
        .layer(middleware)
        .with_state(Links::default())
}

async fn shorten(
    State(links): State<Links>,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Json<Link>), StatusCode> {
    let uri: Uri = wish.url.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let mut links = links.lock().expect("nobody panics with the links");
    if links.len() == LINKS_MAX {
        return Err(StatusCode::INSUFFICIENT_STORAGE);
    }
    let link = Link {
        code: format!("{:x}", links.len() + 1),
        url: wish.url,
        followed: 0,
    };
    links.insert(link.code.clone(), link.clone());
    Ok((StatusCode::CREATED, Json(link)))
}

async fn show(
    State(links): State<Links>,
    Path(code): Path<String>,
) -> Result<Json<Link>, StatusCode> {
    let links = links.lock().expect("nobody panics with the links");
    let found = links.get(&code).cloned();
    found.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn follow(
    State(links): State<Links>,
    Path(code): Path<String>,
) -> Result<Redirect, StatusCode> {
    let mut links = links.lock().expect("nobody panics with the links");
    let link = links.get_mut(&code).ok_or(StatusCode::NOT_FOUND)?;
    link.followed += 1;
    Ok(Redirect::temporary(&link.url))
}
