//! What a Bedrock path says about its model: an id, an inference profile, or an ARN of either.
//!
//! The price book knows ids with and without the geography in front (`us.`, `global.`: the price
//! differs). An application's own inference profile, a provisioned or a custom model hide which
//! model serves: for those the configuration must say, and nothing is guessed (PRICE-1).

/// Geographies that stand in front of an id where requests may be served across regions.
const GEOGRAPHIES: [&str; 13] =
    ["us", "eu", "apac", "global", "us-gov", "au", "jp", "ca", "in", "sa", "me", "af", "il"];
/// Kinds of resources whose ARN ends with the id of a model.
const OPEN: [&str; 2] = ["foundation-model", "inference-profile"];

/// The id of the model that a path or an ARN names (`us.anthropic.claude-sonnet-4-5-20250929-v1:0`);
/// `None` where the name hides it.
pub fn model_id(name: &str) -> Option<&str> {
    let Some(resource) = name.strip_prefix("arn:") else {
        return (!name.is_empty()).then_some(name);
    };
    // partition, service, region, account, resource
    let resource = resource.splitn(5, ':').nth(4)?;
    let (kind, id) = resource.split_once('/')?;
    (OPEN.contains(&kind) && !id.is_empty()).then_some(id)
}

/// The names to look for in a price book, the most telling first: the id with its geography, then
/// without, which is the price within a region.
pub fn price_names(name: &str) -> impl Iterator<Item = &str> {
    let id = model_id(name);
    id.into_iter().chain(id.and_then(without_geography))
}

fn without_geography(id: &str) -> Option<&str> {
    let (geography, rest) = id.split_once('.')?;
    GEOGRAPHIES.contains(&geography).then_some(rest)
}

/// Whether a model speaks the messages form of Anthropic.
pub fn is_claude(name: &str) -> bool {
    let plain = model_id(name).map(|id| without_geography(id).unwrap_or(id));
    plain.is_some_and(|id| id.starts_with("anthropic.claude"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_domain::price::PriceBook;

    #[test]
    fn ids_and_arns_lead_to_the_model_and_own_profiles_hide_it() {
        let sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
        for (name, id) in [
            (sonnet, Some(sonnet)),
            ("amazon.titan-embed-text-v2:0", Some("amazon.titan-embed-text-v2:0")),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0:300k",
                Some("amazon.nova-pro-v1:0:300k"),
            ),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
                Some("us.amazon.nova-pro-v1:0"),
            ),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3", None),
            ("arn:aws:bedrock:us-east-1:1:provisioned-model/a1b2c3", None),
            ("arn:aws:bedrock:us-east-1:1:custom-model/amazon.nova/a1b2c3", None),
            ("arn:aws:bedrock:us-east-1:1:default-prompt-router/anthropic.claude:1", None),
            ("arn:aws:bedrock", None),
            ("", None),
        ] {
            assert_eq!(model_id(name), id, "{name}");
        }
        assert!(is_claude(sonnet) && !is_claude("us.amazon.nova-pro-v1:0"));
        assert!(is_claude("anthropic.claude-opus-5"));
    }

    #[test]
    fn the_price_book_knows_the_names_and_tells_geographies_apart() {
        let book = PriceBook::bundled().unwrap();
        for (name, id) in [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "ca.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            ("us.amazon.nova-micro-v1:0", "amazon.nova-micro-v1:0"),
            ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2:0"),
            ("us.meta.llama4-maverick-17b-instruct-v1:0", "meta.llama4-maverick-17b-instruct-v1:0"),
        ] {
            let found = price_names(name).find_map(|name| book.find("aws", name));
            assert_eq!(&**found.unwrap_or_else(|| panic!("{name}")).id(), id);
        }
        let hidden = "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3";
        assert_eq!(price_names(hidden).count(), 0);
    }
}
