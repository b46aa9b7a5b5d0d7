//! What refusals mean, and the hints that explain them.

use super::*;

/// Status, code, meaning, words of the hint (`-` for no hint), message.
const REFUSALS: &str = "
401|APIG.0301|SignatureMismatch { echoed: None }|create a new access key|verify aksk signature fail
401|APIG.0301|SignatureMismatch { echoed: None }|most likely|Verify AK SK signature fail,
401|APIG.0303|SignatureMismatch { echoed: None }|most likely|verify signature fail
401|APIG.0301|Expired { signed: Some(SigningDate(20211217T064303Z)), server: Some(SigningDate(20211217T065804Z)) }|901 seconds behind|calc aksk signature fail:signature expired, signature time:20211217T064303Z,server time:20211217T065804Z
401|APIG.0303|Expired { signed: Some(SigningDate(20211217T065804Z)), server: Some(SigningDate(20211217T064303Z)) }|901 seconds ahead of|signature expired, signature time:20211217T065804Z,server time:20211217T064303Z
401|APIG.0301|Expired { signed: None, server: None }|set the clock with NTP|calc ak sk signature fail:signature expired
401|APIG.0301|Expired { signed: None, server: None }|NTP|signature expired, signature time:20211317T064303Z, server time:soon
401|APIG.0301|KeyLocked|wait five minutes|AK access failed to reach the limit,forbidden.
401|APIG.0301|UnknownKey|Chinese or International|Get secretKey failed,ak:AKX,err:ak not exist
401|APIG.0301|UnknownKey|without its security token|ak AKX not exist
401|APIG.0301|InvalidToken|has to be replaced|decrypt token fail
401|APIG.0301|InvalidToken|has to be replaced|token expires, expires_at: 2026-11-23
401|APIC.0301|InvalidToken|IAM or app authentication|x-auth-token not found
401|APIG.0301|Unauthorized|check that the API takes signatures|Unauthorized
401|APIG.0301|Arrears|top up|the account is in arrears
401|APIG.0301|Arrears|billing center|the account is suspended or restricted
401|APIG.0303|UnknownApp|of an app|app not found, appkey x
401|APIG.0303|UnknownApp|of an app|app not found with specified appCode
404|APIG.0101|ApiNotFound|upstream (now id.apig.|The API does not exist or has not been published
404|APIG.0101|MethodNotAllowed|is POST|Method Not Allowed
405|APIG.0101|MethodNotAllowed|is POST|
500|APIG.0103|Other|-|The backend does not exist
400|APIG.0201|Other|-|API request error.
413|APIG.0201|BodyTooLarge|send a smaller one|Request entity too large.
400|APIG.0201|BodyTooLarge|send a smaller one|Request entity too large.
414|APIG.0201|TargetTooLong|in the body|Request URI too large.
494|APIG.0201|HeadersTooLarge|fewer or shorter headers|Request headers too large.
502|APIG.0201|BackendUnavailable|running and healthy|Backend unavailable.
504|APIG.0201|BackendTimeout|timeout of the API raised|Backend timeout.
504|APIG.0203|BackendTimeout|streamed answer|Backend timeout
400|APIG.0204|TlsVersion|version 1.2|SSL protocol is not supported: TLSv1.1
400|APIG.0205|ClientCertificate|`upstream_tls.cert_file`|Verify client certificate failed
403|APIG.0302|Forbidden|ask the owner of the API|The IAM user is not authorized to access the API
401|APIG.0305|Unauthorized|active|Incorrect authentication information
401|APIG.0307|InvalidToken|has to be replaced|The token must be updated.
429|APIG.0308|Throttled|1000 calls a day|The throttling threshold has been reached
403|APIG.0310|Forbidden|project|The project is unavailable.
403|APIG.0401|Forbidden|address rules|Unknown client IP address.
405|APIG.0501|Throttled|quota raised|App quota exceeded
405|APIG.0502|Forbidden|authorise the account or app|App frozen
500|APIG.0601|Other|-|Internal server error.
502|APIG.0610|BackendUnavailable|running and healthy|No backend available.
503|APIG.0613|IamUnavailable|try again in a minute|IAM is unavailable.
403|APIG.0802|Forbidden|region|The IAM user is forbidden in this region
400|APIG.2201|UnknownApp|of an app|Invalid AppKey
429|APIG.9999|Throttled|slow down|
401|ModelArts.4203|InvalidToken|has to be replaced|Invalid token
403|ModelArts.0206|UnknownKey|set the right key|Invalid AK/SK
403|ModelArts.4116|Arrears|top up|
401|ModelArts.81006|Arrears|top up|The resource is frozen.
413|ModelArts.4104|BodyTooLarge|send a smaller one|
404|ModelArts.4204|ApiNotFound|upstream|
500|ModelArts.4204|Other|-|
408|ModelArts.4205|BackendTimeout|streamed answer|Connection timed out
429|ModelArts.4206|Throttled|slow down|
503|ModelArts.4302|BackendUnavailable|running and healthy|
500|ModelArts.4503|BackendUnavailable|running and healthy|
504|ModelArts.4503|BackendTimeout|streamed answer|
404|ModelArts.4901|ApiNotFound|stage|
403|ModelArts.81011|Other|-|May contain sensitive words
";

#[test]
fn every_refusal_is_understood_and_explained() {
    let rows: Vec<&str> = REFUSALS.lines().filter(|row| !row.is_empty()).collect();
    for row in rows {
        let fields: Vec<&str> = row.splitn(5, '|').collect();
        let [status, code, meaning, advice, message] = fields[..] else {
            panic!("{row}");
        };
        let error = GatewayError::read(status.parse().unwrap(), &answer(code, message)).unwrap();
        assert_eq!(error.code, code, "{row}");
        assert_eq!(format!("{:?}", error.meaning), meaning, "{row}");
        let is_failure = ["SignatureMismatch", "Expired", "KeyLocked"]
            .iter()
            .any(|name| meaning.starts_with(name));
        assert_eq!(error.meaning.is_signature_failure(), is_failure, "{row}");
        let hint = error.hint(&KNOWN);
        assert_eq!(hint.is_none(), advice == "-", "{row}");
        if let Some(hint) = hint {
            assert!(
                hint.contains(advice) && is_presentable(&hint),
                "{row}: {hint}"
            );
        }
    }
}

#[test]
fn a_mismatch_names_what_was_changed_and_an_equal_echo_means_a_wrong_secret_key() {
    let ours = canonical();
    let signed = CanonicalText(ours.clone());
    let context = Context {
        canonical_request: Some(&signed),
        ..KNOWN
    };
    let fail = |canonical: &str| {
        let echoed = echoed(canonical);
        hint(
            &format!("verify aksk signature fail, canonicalRequest:{echoed}"),
            &context,
        )
    };
    assert!(fail(&ours).starts_with("the secret key does not belong to the access key: check"));
    assert!(fail(&format!("{ours}, please check")).starts_with("the secret key does not"));
    let altered = ours.replacen("b=2", "b=3", 1);
    assert!(fail(&altered[..30]).starts_with("query pair 3 (b) was changed"));
    let dotted = format!("{}...", &ours[..50]);
    for unknown in [
        &ours[..6],
        &ours[..40],
        &ours[..ours.len() - 1],
        &dotted,
        "GET|v1",
        "x",
        "|||",
    ] {
        assert!(fail(unknown).contains("most likely"), "{unknown}");
    }
    for row in CHANGES.lines().filter(|row| !row.is_empty()) {
        let row = row.replace('/', "\n");
        let [from, to, advice] = row.split(" > ").collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        assert!(ours.contains(from), "{from:?}");
        let hint = fail(&ours.replacen(from, to, 1));
        let expected = format!("{advice} was changed by a device");
        assert!(hint.starts_with(&expected), "{from} -> {to}: {hint}");
    }
}

/// What of a canonical request is replaced by what, and what the hint names; `/` is a line end.
const CHANGES: &str = "
GET > POST > the method
v1 > v2 > the path
x-stage:RELEASE/ >  > header x-stage
x-stage:RELEASE > x-stage:TEST > header x-stage
SECRETTOKENMARKER_DO_NOT_LOG > another > header x-security-token
b=2 > b=3 > query pair 3 (b)
&b=2 >  > query pair 3 (b)
&k%C3%A9=x >  > query pair 4
a=0&a=1&b=2&k%C3%A9=x >  > query pair 1 (a)
&b=2 > &aa=7&b=2 > query pair 3 (aa)
=x/ > =x&z=1/ > query pair 5 (z)
/host; > /host;x; > the list of signed headers
e3b0 > 0000 > the body or its hash
";

/// What is said of clocks and keys: the message, what is known, and words of the hint.
const CLOCKS: &str = "
behind||901 seconds behind the gateway's
ahead||901 seconds ahead of the gateway's
behind||clock.correct = true
behind|corrects|set it with NTP, and send the request again
alone|corrects -4000|4000 seconds ahead of the gateway's
alone|temporary 1000|1000 seconds behind
behind|2|901 seconds after it was signed
alone|temporary 2|the temporary key has expired
alone|temporary corrects 1000|the temporary key has expired
alone|temporary|get a new temporary key
alone||set the clock with NTP; if it is right, get a new key
alone|-9223372036854775808|9223372036854775808 seconds ahead
ages||seconds behind
unknown|temporary|the security token belongs to another key
unknown||a temporary key without its security token
";

#[test]
fn clocks_and_temporary_keys_are_told_apart() {
    let times = |signed: &str, server: &str| {
        format!("signature expired, signature time:{signed},server time:{server}")
    };
    for row in CLOCKS.lines().filter(|row| !row.is_empty()) {
        let [message, known, advice] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let message = match message {
            "behind" => times(SIGNED, SERVER),
            "ahead" => times(SERVER, SIGNED),
            "ages" => times("00000101T000000Z", "99991230T000000Z"),
            "alone" => "signature expired".to_owned(),
            _ => "Get secretKey failed,ak:AKX,err:ak not exist".to_owned(),
        };
        let context = Context {
            is_temporary: known.contains("temporary"),
            corrects_clock: known.contains("corrects"),
            clock_offset: known.split(' ').find_map(|word| word.parse().ok()),
            ..KNOWN
        };
        let hint = hint(&message, &context);
        assert!(
            hint.contains(advice) && !hint.contains("AKX"),
            "{row}: {hint}"
        );
    }
}

#[test]
fn what_the_gateway_reads_differently_is_named_before_the_secret_key() {
    let ours = CanonicalText(canonical());
    let many = format!("GET\n/\n{}\nhost:h\n\nhost\n0", vec!["a=1"; 101].join("&"));
    let many = CanonicalText(many);
    let fail = |context: &Context<'_>| hint("verify aksk signature fail", context);
    let context = Context {
        canonical_request: Some(&ours),
        ..KNOWN
    };
    let ambiguous = Context {
        has_ambiguous_path: true,
        ..context
    };
    assert!(fail(&ambiguous).contains("several slashes in a row"));
    assert!(
        fail(&Context {
            has_learned_path: true,
            ..ambiguous
        })
        .contains("has learned")
    );
    let many = Context {
        canonical_request: Some(&many),
        ..KNOWN
    };
    assert!(fail(&many).contains("more than 100 pairs"));
}
