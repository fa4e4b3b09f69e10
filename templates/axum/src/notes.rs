//! Notes, kept in memory: `GET /notes`, `POST /notes`, and `GET` and `DELETE /notes/{id}`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most notes kept.
const NOTES_MAX: usize = 1000;

/// Most bytes of a note.
const TEXT_MAX: usize = 1000;

/// What a client sends.
#[derive(Deserialize)]
struct Draft {
    text: String,
}

/// What a client is told.
#[derive(Clone, Serialize)]
struct Note {
    id: u64,
    text: String,
}

/// All notes by their numbers.
#[derive(Default)]
struct Notes {
    all: BTreeMap<u64, Note>,
    last: u64,
}

type Shared = Arc<Mutex<Notes>>;

pub fn routes() -> Router {
    Router::new()
        .route("/", get(list).post(create))
        .route("/{id}", get(read).delete(remove))
        .with_state(Shared::default())
}

/// Locks the notes, which are whole between any two statements, even if somebody panics.
fn lock(notes: &Shared) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list(State(notes): State<Shared>) -> Json<Vec<Note>> {
    Json(lock(&notes).all.values().cloned().collect())
}

async fn create(
    State(notes): State<Shared>,
    Json(draft): Json<Draft>,
) -> Result<(StatusCode, Json<Note>), StatusCode> {
    if draft.text.len() > TEXT_MAX {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut notes = lock(&notes);
    if notes.all.len() == NOTES_MAX {
        return Err(StatusCode::INSUFFICIENT_STORAGE);
    }
    notes.last += 1;
    let note = Note {
        id: notes.last,
        text: draft.text,
    };
    notes.all.insert(note.id, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

async fn read(
    State(notes): State<Shared>,
    Path(id): Path<u64>,
) -> Result<Json<Note>, StatusCode> {
    let found = lock(&notes).all.get(&id).cloned();
    found.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(State(notes): State<Shared>, Path(id): Path<u64>) -> StatusCode {
    match lock(&notes).all.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}
