//! Endorsements: statements of further people about the attestation's own bytes.

use super::super::dsse::{Envelope, EnvelopeError, IN_TOTO};
use super::super::statement::{ENDORSEMENT, Endorsement, Resource, Statement};
use super::super::write::{endorsement_name, is_role};
use super::super::{hex, read_small};
use super::{MAX_BYTES, Place, Request, Signed, State, Verification};
use crate::report::{DSSE, ENDORSEMENT_PREFIX, ENDORSEMENT_SUFFIX, attestations};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Checks every endorsement in the folder, then that the roles asked for are filled.
pub(super) fn check(place: &Place, signed: &Signed<'_>, request: &Request<'_>, found: &mut Verification) {
    let names = match attestations(&place.folder) {
        Ok(names) => names,
        Err(error) => {
            found.add(State::Fails, "endorsements", error.to_string());
            return;
        }
    };
    let mut filled: Vec<String> = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(ENDORSEMENT_PREFIX)) {
        match one(place, name, signed, request) {
            Ok(Some((role, independent, detail))) => {
                found.add(State::Holds, name, detail);
                if independent {
                    filled.push(role);
                }
            }
            Ok(None) => found.add(State::Unchecked, name, "signed by none of the given keys"),
            Err(why) => found.add(State::Fails, name, why),
        }
    }
    for role in request.require_roles {
        let what = format!("role {role}");
        if filled.contains(role) {
            found.add(State::Holds, &what, "endorsed in this role by a given key other than the report's");
        } else {
            found.add(State::Fails, &what, "no endorsement in this role by a given key other than the report's");
        }
    }
}

/// An endorsement's role, whether its key is another than the report's, and words for it; nothing if its key is not
/// among those given.
fn one(
    place: &Place,
    name: &str,
    signed: &Signed<'_>,
    request: &Request<'_>,
) -> Result<Option<(String, bool, String)>, String> {
    let bytes = read_small(&place.folder.join(name), MAX_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
    let envelope = Envelope::from_line(&bytes).map_err(|error| error.to_string())?;
    // The name says whose it is: an id that was changed must not pass for that of somebody unknown.
    let keyid = STANDARD.decode(envelope.keyid()).map_err(|_| "damaged: its keyid is no base64".to_owned())?;
    let named = name.strip_prefix(ENDORSEMENT_PREFIX).and_then(|rest| rest.strip_suffix(ENDORSEMENT_SUFFIX));
    let (role, _) = named.and_then(|rest| rest.split_once('.')).ok_or("its name is not that of an endorsement")?;
    if name != endorsement_name(role, &hex(&keyid)) {
        return Err("damaged: its keyid is not the one in its name".to_owned());
    }
    let (payload, key) = match envelope.verify(request.keys) {
        Ok(verified) => verified,
        Err(EnvelopeError::OtherKey(_)) => {
            let given = request.keys.iter().any(|key| name == endorsement_name(role, &key.fingerprint()));
            return if given { Err("damaged: its keyid is not the one in its name".to_owned()) } else { Ok(None) };
        }
        Err(error) => return Err(error.to_string()),
    };
    if envelope.payload_type != IN_TOTO {
        return Err("its payload is no in-toto statement".to_owned());
    }
    let statement: Statement<Endorsement> = Statement::from_payload(&payload, ENDORSEMENT)?;
    let own = hex(&Sha256::digest(signed.envelope.to_line().as_bytes()));
    if statement.subject != [Resource::new(DSSE, &own)] {
        return Err("it endorses another attestation than the one here".to_owned());
    }
    let said = &statement.predicate;
    let audit = &signed.statement.predicate;
    if said.role != role || !is_role(role) || said.verdict != audit.verdict || said.exit_code != audit.exit_code {
        return Err("it says something else than its name and the attestation do".to_owned());
    }
    let independent = Some(key) != signed.key;
    let whose = if independent { "" } else { ", the report's own key" };
    let detail = format!("as {role} on {} by the key SHA256 {}{whose}", said.time_created, key.fingerprint());
    Ok(Some((said.role.clone(), independent, detail)))
}
