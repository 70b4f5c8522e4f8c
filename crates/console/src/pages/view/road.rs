//! The road of a change as a picture: stations, and what flows from each to the next.

use maud::{Markup, html};

use super::parts::{Level, badge};

/// A place on the road.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    pub(crate) name: &'static str,
    pub(crate) href: Option<&'static str>,
    /// `None`: nothing is known of it, so nothing is said.
    pub(crate) level: Option<(Level, &'static str)>,
    /// Why it is not good, in a few words.
    pub(crate) why: Option<String>,
    /// Names and values with their units.
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// What moves from a station to the next.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// `None`: nobody knows yet.
    pub(crate) rate: Option<String>,
    pub(crate) unit: &'static str,
    pub(crate) state: FlowState,
}

/// How a stretch looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowState {
    Moving,
    /// Nothing moves, and nothing has to.
    Idle,
    /// Something waits, and nothing moves.
    Stuck,
}

/// Stations, and between them one flow less.
#[derive(Debug, Clone)]
pub(crate) struct Road {
    pub(crate) stations: Vec<Station>,
    pub(crate) flows: Vec<Flow>,
}

pub(crate) fn road(road: &Road) -> Markup {
    html! { ol.road { (stretches(road)) } }
}

/// A shorter one.
pub(crate) fn branch(road: &Road) -> Markup {
    html! { ol.road.branch { (stretches(road)) } }
}

fn stretches(road: &Road) -> Markup {
    html! {
            @for (at, station) in road.stations.iter().enumerate() {
                (self::station(station))
                @if let Some(flow) = road.flows.get(at) { (self::flow(flow)) }
            }
    }
}

fn station(station: &Station) -> Markup {
    let class = station.level.map_or("plain", |(level, _)| level.class());
    html! {
        li class={ "station " (class) } {
            div {
                h3 { @match station.href { Some(href) => a href=(href) { (station.name) }, None => (station.name) } }
                @if let Some((level, word)) = station.level { (badge(level, word)) }
                @if let Some(why) = &station.why { p.why { (why) } }
            }
            @if !station.facts.is_empty() {
                dl { @for (name, value) in &station.facts { div { dt { (name) } dd { (value) } } } }
            }
        }
    }
}

fn flow(flow: &Flow) -> Markup {
    let (class, word) = match flow.state {
        FlowState::Moving => ("flow moving", "moving: "),
        FlowState::Idle => ("flow", "idle: "),
        FlowState::Stuck => ("flow stuck", "stuck: "),
    };
    html! {
        li class=(class) {
            span.rate { span.unseen { (word) } (flow.rate.as_deref().unwrap_or("–")) }
            span.arrow aria-hidden="true" {}
            span.unit { (flow.unit) }
        }
    }
}
