//! `portal` as it stands in a route, and `openapi` in an upstream's place is in [`crate::upstream::config`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Toggle, Toggled};

/// Whether a route serves the portal.
pub type Config = Toggle<Box<Settings>>;

impl Toggled for Box<Settings> {
    const NAME: &'static str = "Portal";
    const SAYS: &'static str = "Whether the route serves the portal, and how that looks.";
    const EXAMPLE: &'static str = "{ title: Our APIs }";
}

/// How the portal looks, and who sees what of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { title: Our APIs }", default, deny_unknown_fields)]
pub struct Settings {
    /// The title of the page and of the document. Default: `APIs`.
    pub title: String,
    /// The version of the document. Default: `1`.
    pub version: String,
    /// What it is, in a sentence. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What readers should know first, in Markdown; `${file:intro.md}` takes it from a file. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introduction: Option<String>,
    /// A picture for the top of the page: a file ending in .svg, .png, .jpg or .webp. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<PathBuf>,
    /// Where clients reach the gateway, such as `https://api.example.com`. Default: where they found the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What is shown: `all` (default) to everybody whom the route's `auth` lets in, or `allowed`, to each caller what
    /// that caller may call.
    pub show: Show,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: "APIs".to_owned(),
            version: "1".to_owned(),
            description: None,
            introduction: None,
            logo: None,
            url: None,
            show: Show::All,
        }
    }
}

/// What is shown to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Everything, to everybody whom the route lets in.
    #[default]
    All,
    /// To each caller what that caller may call.
    Allowed,
}
