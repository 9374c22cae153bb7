//! Icons: strokes on a grid of 24, drawn for this console.

use maud::{Markup, html};

/// An icon.
#[derive(Clone, Copy)]
pub enum Icon {
    Overview,
    Conversations,
    Broadcasts,
    Deliveries,
    Events,
    Ledger,
    Agents,
    Templates,
    Trace,
    Settings,
    Warning,
    Empty,
    Document,
    Image,
    Voice,
    Video,
    Place,
    Contact,
    Tick,
    Ticks,
    Clock,
    Failed,
    Back,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "M4 13h6V4H4zM14 20h6V4h-6zM4 20h6v-3H4z",
            Self::Conversations => "M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5",
            Self::Broadcasts => "M4 10v4h3l8 4V6l-8 4zM18 9a4 4 0 0 1 0 6",
            Self::Deliveries => "M4 6h16v12H4zM4 7l8 6 8-6",
            Self::Events => "M4 6h10M4 12h16M4 18h7M18 4v4M15 16v4",
            Self::Ledger => "M5 20V10M12 20V4M19 20v-7",
            Self::Agents => {
                "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M3 20c0-4 3-6 6-6s6 2 6 6M16 5a3 3 0 0 1 0 6M18 14c2 1 3 3 3 6"
            }
            Self::Templates => "M5 4h14v16H5zM9 8h6M9 12h6M9 16h3",
            Self::Trace => "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M16 16l5 5",
            Self::Settings => {
                "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6M12 3v3M12 18v3M3 12h3M18 12h3M6 6l2 2M16 16l2 2M18 6l-2 2M8 16l-2 2"
            }
            Self::Warning => "M12 4 2 20h20zM12 10v4M12 17v.5",
            Self::Empty => "M4 13l3-8h10l3 8v6H4zM4 13h5l1 3h4l1-3h5",
            Self::Document => "M6 3h8l4 4v14H6zM14 3v4h4",
            Self::Image => "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9v.5",
            Self::Voice => {
                "M12 14a3 3 0 0 0 3-3V6a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3M6 11a6 6 0 0 0 12 0M12 17v4"
            }
            Self::Video => "M3 6h12v12H3zM15 10l6-3v10l-6-3",
            Self::Place => {
                "M12 21c5-6 7-9 7-12a7 7 0 0 0-14 0c0 3 2 6 7 12M12 11a2 2 0 1 0 0-4 2 2 0 0 0 0 4"
            }
            Self::Contact => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4 21c0-4 4-6 8-6s8 2 8 6",
            Self::Tick => "M5 13l4 4L19 7",
            Self::Ticks => "M2 13l4 4 9-10M11 16l1 1 10-10",
            Self::Clock => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 7v5l3 2",
            Self::Failed => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 7v6M12 16v.5",
            Self::Back => "M14 5l-7 7 7 7",
        }
    }
}

/// Draws an icon. It is decoration: a text beside it, or a label around it, says what it means.
pub fn icon(icon: Icon) -> Markup {
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" { path d=(icon.path()) {} }
    }
}
