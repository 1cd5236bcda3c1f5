//! What a plugin's `setup` gets: its directives, its block, and where to put what it adds.

use super::{BlockPlan, Control, Datagrams, Directive, Error, Keep, ProcessPlan, Span, Token};
use crate::corefile::values;
use crate::metrics::Metrics;
use crate::wire::Name;
use std::path::{Path, PathBuf};

/// The server block a plugin is set up in.
#[derive(Clone, Debug)]
pub struct BlockInfo {
    /// The zones of the block's addresses.
    pub zones: Vec<Name>,
    /// The block's first address.
    pub span: Span,
    /// The base of relative file names (`root`; else the working directory).
    pub root: PathBuf,
    /// The place of the block in the Corefile, from 0.
    pub index: usize,
}

/// The set-up of one plugin in one server block.
pub struct Setup<'a> {
    /// Every directive of this plugin in the block, in file order; at least one.
    pub directives: &'a [Directive],
    /// All directives of the block, for what depends on a neighbour (a cache kept while `forward` is unchanged).
    pub siblings: &'a [Directive],
    /// The block.
    pub block: &'a mut BlockInfo,
    /// What the block becomes.
    pub plan: &'a mut BlockPlan,
    /// What the process gets.
    pub process: &'a mut ProcessPlan,
    /// The process's metrics.
    pub metrics: &'a Metrics,
    /// What the plan before this one kept.
    pub kept: &'a Keep,
    /// What the next plan shall find.
    pub keep: &'a Keep,
    /// The way to the server.
    pub control: &'a Control,
    /// How many datagrams go with a system call.
    pub datagrams: Datagrams,
}

impl<'a> Setup<'a> {
    /// The only directive of this plugin.
    ///
    /// # Errors
    /// A second one: the plugin can be used once per server block.
    pub fn once(&self) -> Result<&'a Directive, Error> {
        match self.directives {
            [only] => Ok(only),
            [_, second, ..] => Err(Error::at(
                &second.name.span,
                format!("plugin/{}: can only be used once per Server Block", second.name.text),
            )),
            [] => Err(Error::at(&self.block.span, "the plugin has no directive here")),
        }
    }

    /// The first directive of this plugin, with a warning where there are more: CoreDNS reads no further.
    pub fn first(&mut self) -> Result<&'a Directive, Error> {
        self.one_of(self.directives.first(), "first")
    }

    /// The last directive of this plugin, with a warning where there are more: CoreDNS lets it overrule the others.
    pub fn last(&mut self) -> Result<&'a Directive, Error> {
        self.one_of(self.directives.last(), "last")
    }

    fn one_of(&mut self, counts: Option<&'a Directive>, which: &str) -> Result<&'a Directive, Error> {
        let counts = counts.ok_or_else(|| Error::at(&self.block.span, "the plugin has no directive here"))?;
        if let [_, again, ..] = self.directives {
            self.warn(&again.name, format!("stands more than once in this server block; only the {which} one counts"));
        }
        Ok(counts)
    }

    /// An error of this plugin at a token, in CoreDNS's form `FILE:LINE - Error during parsing: MESSAGE`.
    pub fn error(&self, at: &Token, message: impl std::fmt::Display) -> Error {
        Error::at(&at.span, format!("Error during parsing: plugin/{}: {message}", self.name()))
    }

    /// The error for a wrong number of arguments; `expected` shows the form, as `ttl SECONDS`.
    pub fn arguments(&self, directive: &Directive, expected: &str) -> Error {
        let last = directive.args.last().unwrap_or(&directive.name);
        self.error(
            &directive.name,
            format!("Wrong argument count or unexpected line ending after '{}'; expected: {expected}", last.text),
        )
    }

    /// The error for an option that the plugin does not have; `expected` lists those it has.
    pub fn unknown(&self, option: &Directive, expected: &str) -> Error {
        self.error(&option.name, format!("unknown property '{}'; expected one of: {expected}", option.name.text))
    }

    /// Warns the operator about something at a token.
    pub fn warn(&mut self, at: &Token, message: impl std::fmt::Display) {
        let warning = format!("{} - plugin/{}: {message}", at.span, self.name());
        self.process.warnings.push(warning);
    }

    /// The zones that the arguments name (names, or networks as reverse zones); the block's where there are none. An empty
    /// argument, as a variable leaves that is not set, names none.
    ///
    /// # Errors
    /// An argument that is no zone.
    pub fn zones_or_block(&mut self, arguments: &[Token]) -> Result<Vec<Name>, Error> {
        if arguments.is_empty() {
            return Ok(self.block.zones.clone());
        }
        let mut zones = Vec::new();
        for argument in arguments {
            if argument.text.is_empty() {
                self.warn(argument, "an empty word is no zone and is left out; expecting a zone, '.' for all names");
                continue;
            }
            for zone in values::zones(&argument.text).map_err(|why| self.error(argument, why))? {
                zones.push(Name::from_text(&zone).map_err(|why| self.error(argument, format!("{zone}: {why}")))?);
            }
        }
        Ok(zones)
    }

    /// The address of an HTTP endpoint: the directive's only argument, `host:port` with the host empty for every
    /// address, or `default`.
    ///
    /// # Errors
    /// More than one argument, or one of another form.
    pub fn endpoint_address(&self, directive: &Directive, default: &str) -> Result<String, Error> {
        let argument = match directive.args.as_slice() {
            [] => return Ok(default.to_owned()),
            [only] => only,
            _ => return Err(self.arguments(directive, &format!("{} [ADDRESS]", directive.name.text))),
        };
        let address = values::listen_address(&argument.text).map_err(|why| self.error(argument, why))?;
        Ok(address.to_string())
    }

    /// The error for a form that CoreDNS has and this program does not have yet.
    pub fn not_supported(&self, at: &Token) -> Error {
        self.error(at, format!("'{}' is not supported by dunlin yet", at.text))
    }

    /// A file name as the block's root makes it.
    pub fn path(&self, file: &str) -> PathBuf {
        let path = Path::new(file);
        if path.is_absolute() { path.into() } else { self.block.root.join(path) }
    }

    /// The directive's name.
    pub fn name(&self) -> &str {
        self.directives.first().map_or("", |directive| &directive.name.text)
    }
}
