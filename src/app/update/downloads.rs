//! Models that are here or could be: asked for, downloaded, and what the downloader tells.

use super::{app::App, command::DownloadCommand};
use crate::{
    app::state::{
        downloads::{Download, DownloadStage, RemovalAsked},
        messages::Level,
    },
    engine::{HubEvent, HubRequest, Request},
    error::Error,
    families::inventory::LocalModels,
    weights::hub::{RemovalScope, Repo, bytes},
};

impl App {
    pub(in crate::app) fn act_on_downloads(&mut self, command: DownloadCommand) {
        let shop = &mut self.state.downloads;
        match command {
            DownloadCommand::Type(text) => shop.typed = text,
            DownloadCommand::Ask(name) => self.ask_the_hub(name),
            DownloadCommand::Choose(name, index) => {
                if let Some(DownloadStage::Offered { offers, chosen }) =
                    shop.download_mut(&name).map(|order| &mut order.stage)
                    && index < offers.len()
                {
                    *chosen = index;
                }
            }
            DownloadCommand::Fetch(name) => {
                let Some(order) = shop.download_mut(&name) else { return };
                let DownloadStage::Offered { offers, chosen } = &order.stage else {
                    return;
                };
                let Some(offer) = offers.get(*chosen) else { return };
                let (job, offer) = (order.job, Box::new(offer.clone()));
                order.stage = DownloadStage::Waiting;
                self.ask_downloader(HubRequest::Download { job, offer });
            }
            DownloadCommand::Drop(name) => {
                let Some(order) = shop.download(&name) else { return };
                let (job, waits) = (order.job, order.stage.is_under_way());
                if waits {
                    // It goes when the downloader says that it has ended.
                    self.ask_downloader(HubRequest::Cancel { job });
                    return;
                }
                if order.stage == DownloadStage::Asking {
                    self.ask_downloader(HubRequest::Cancel { job });
                }
                self.state.downloads.orders.retain(|order| order.job != job);
            }
            DownloadCommand::Seen => shop.sought = None,
            DownloadCommand::Sort(sort) => shop.sort = sort,
            DownloadCommand::Search(text) => shop.search = text,
            DownloadCommand::Select(name) => shop.selected = name,
            DownloadCommand::AskRemoval(name, scope) => self.ask_removal(name, scope),
            DownloadCommand::Remove => self.remove(),
            DownloadCommand::KeepModel => shop.removing = None,
        }
    }

    /// Finds out what would be deleted of a model.
    fn ask_removal(&mut self, name: String, scope: RemovalScope) {
        let shop = &mut self.state.downloads;
        if shop.removing.as_ref().is_some_and(|removing| removing.under_way) {
            return;
        }
        let stock = shop.shelf.as_ref().and_then(|shelf| shelf.find(&name));
        let held = stock.and_then(|stock| stock.held.as_ref());
        let Some(repo) = held.and_then(|held| Repo::new(&held.repository).ok()) else {
            return;
        };
        shop.begun += 1;
        let job = shop.begun;
        shop.removing = Some(RemovalAsked {
            job,
            name,
            removal: None,
            under_way: false,
        });
        self.ask_downloader(HubRequest::PlanRemoval { job, repo, scope });
    }

    /// Deletes what the user has been told of.
    fn remove(&mut self) {
        let Some(asked) = &mut self.state.downloads.removing else {
            return;
        };
        let Some(removal) = asked.removal.clone().filter(|_| !asked.under_way) else {
            return;
        };
        asked.under_way = true;
        let (job, removal) = (asked.job, Box::new(removal));
        self.ask_downloader(HubRequest::Remove { job, removal });
    }

    /// Asks how much a model is. What failed before is tried again.
    fn ask_the_hub(&mut self, name: String) {
        let shop = &mut self.state.downloads;
        let failed = |order: &Download| matches!(order.stage, DownloadStage::Failed(_));
        shop.orders.retain(|order| order.name != name || !failed(order));
        shop.sought = Some(name.clone());
        if shop.download(&name).is_some() {
            return;
        }
        shop.begun += 1;
        let job = shop.begun;
        shop.orders.push(Download {
            job,
            name: name.clone(),
            stage: DownloadStage::Asking,
        });
        self.ask_downloader(HubRequest::Plan { job, name });
    }

    fn ask_downloader(&self, request: HubRequest) {
        self.engine.send(Request::Hub(request));
    }

    /// Asks what is on this machine.
    pub(in crate::app) fn look_at_models(&self) {
        self.ask_downloader(HubRequest::Look);
    }

    pub(in crate::app) fn on_hub_event(&mut self, event: HubEvent) {
        match event {
            HubEvent::Shelf(shelf) => self.on_shelf(*shelf),
            HubEvent::Planned { job, offers } => {
                if let Some(order) = self.state.downloads.job_mut(job) {
                    order.stage = DownloadStage::Offered { offers, chosen: 0 };
                }
            }
            HubEvent::Progress { job, progress } => {
                if let Some(order) = self.state.downloads.job_mut(job) {
                    order.stage = DownloadStage::Arriving(progress);
                }
            }
            HubEvent::Removable { job, removal } => {
                if let Some(asked) = self.removing_of(job) {
                    asked.removal = Some(*removal);
                }
            }
            HubEvent::Removed { job, bytes: freed } => {
                let asked = self.state.downloads.removing.take_if(|asked| asked.job == job);
                if let Some(asked) = asked {
                    let words = format!("{} is deleted: {} are free again.", asked.name, bytes(freed));
                    self.state.messages.report(Level::Info, words);
                    self.state
                        .downloads
                        .orders
                        .retain(|order| order.name != asked.name || order.stage.is_under_way());
                }
                self.look_at_models();
            }
            HubEvent::Done { job, .. } => {
                let orders = &mut self.state.downloads.orders;
                if let Some(index) = orders.iter().position(|order| order.job == job) {
                    let order = orders.remove(index);
                    self.on_arrival(order.name);
                }
            }
        }
    }

    fn removing_of(&mut self, job: u64) -> Option<&mut RemovalAsked> {
        self.state.downloads.removing.as_mut().filter(|asked| asked.job == job)
    }

    fn on_arrival(&mut self, name: String) {
        let state = &mut self.state;
        state.messages.report(Level::Info, format!("{name} is downloaded."));
        self.look_at_models();
        if self.state.downloads.awaited.as_ref() == Some(&name) {
            self.load_model(name);
        }
    }

    /// A model that was chosen and could not be read is offered, if it is because it is not here.
    fn on_shelf(&mut self, shelf: LocalModels) {
        let state = &mut self.state;
        if let Some(name) = state
            .downloads
            .doubted
            .take()
            .filter(|name| *name == state.model.wanted)
        {
            let stock = shelf.find(&name);
            if stock.is_some_and(|stock| stock.here) {
                // It is broken, and a preset waits for it in vain.
                self.preset_awaited = None;
            } else {
                if stock.is_none() {
                    state.downloads.typed.clone_from(&name);
                }
                state.downloads.sought = Some(name.clone());
                state.downloads.awaited = Some(name);
                state.overlays.models = true;
            }
        }
        state.downloads.shelf = Some(shelf);
    }

    /// A model that was chosen could not be read: maybe it is not here.
    pub(in crate::app) fn doubt_model(&mut self, name: &str) {
        self.state.downloads.doubted = Some(name.to_owned());
        self.look_at_models();
    }

    /// A download has ended before its end.
    pub(in crate::app) fn on_download_failure(&mut self, job: u64, error: &Error) {
        let state = &mut self.state;
        if let Some(asked) = state.downloads.removing.take_if(|asked| asked.job == job) {
            state
                .messages
                .report(Level::Error, format!("{} is not deleted: {error}", asked.name));
            self.look_at_models();
            return;
        }
        let Some(index) = state.downloads.orders.iter().position(|order| order.job == job) else {
            return;
        };
        if *error == Error::Cancelled {
            // Who ends it needs no explanation. What has been downloaded stays and is on the disk.
            state.downloads.orders.remove(index);
            self.look_at_models();
            return;
        }
        let words = error.to_string();
        let order = &mut state.downloads.orders[index];
        let name = order.name.clone();
        let was_arriving = order.stage.is_under_way();
        order.stage = DownloadStage::Failed(words.clone());
        state.messages.note(Level::Error, format!("{name}: {words}"));
        if was_arriving && !state.overlays.models {
            // The place where it belongs cannot be seen.
            state
                .messages
                .toast(Level::Error, format!("{name} is not downloaded: {words}"));
        }
    }
}
