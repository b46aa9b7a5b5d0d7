use super::*;

#[test]
fn a_derived_key_is_named_with_its_scope() {
    let text = "V11-HMAC-SHA256 Credential=AK/20261123/r/s, SignedHeaders=a, Signature=b";
    let presented = Presented::parse(text).unwrap();
    let algorithm = Algorithm::V11HmacSha256 {
        region: "r",
        service: "s",
    };
    assert_eq!(
        (presented.algorithm, presented.access_key),
        (algorithm, "AK")
    );
    assert_eq!(presented.day, "20261123");
    for text in [
        "V11-HMAC-SHA256 Access=AK",
        "V11-HMAC-SHA256 Credential=AK/20261123/r",
    ] {
        let text = format!("{text}, SignedHeaders=a, Signature=b");
        assert_eq!(Presented::parse(&text), Err(Refusal::Malformed));
    }
}

#[test]
fn a_derived_key_is_for_the_day_of_the_date() {
    let signer = Signer::new("AK", &"SK".into());
    let date = SigningDate::parse("20261123T080000Z").unwrap();
    let algorithm = Algorithm::V11HmacSha256 {
        region: "r",
        service: "s",
    };
    let (target, payload) = (Target::received("/"), Payload::Hash(&PayloadHash::EMPTY));
    let signed = CanonicalRequest::new(algorithm, "GET", target.unwrap(), &[], &date, payload);
    let authorization = signer.sign(&signed.unwrap());
    for (day, expected) in [
        ("20261123", None),
        ("20261124", Some(Refusal::Malformed)),
        ("2026", Some(Refusal::Malformed)),
        ("", Some(Refusal::Malformed)),
    ] {
        let authorization = authorization.replace("AK/20261123", &format!("AK/{day}"));
        let headers = [
            (DATE_HEADER, date.as_str().as_bytes()),
            ("authorization", authorization.as_bytes()),
        ];
        let request = ReceivedRequest {
            method: "GET",
            target: "/",
            headers: &headers,
            body: &PayloadHash::EMPTY,
        };
        let verified = verify(&request, |_| Some(&signer), &date, Duration::ZERO);
        assert_eq!(verified.err(), expected, "{day}");
    }
}

#[test]
fn other_forms_are_named() {
    for text in [
        "",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=a, Signature=b",
        "SDK-HMAC-SHA256Access=AK, SignedHeaders=a, Signature=b",
        "SDK-HMAC-SHA256 SignedHeaders=a, Access=AK, Signature=b",
    ] {
        assert_eq!(Presented::parse(text), Err(Refusal::Malformed), "{text}");
    }
    let legacy =
        "SDK-HMAC-SHA256 Credential=AK/20261123/r/s/sdk_request, SignedHeaders=a, Signature=b";
    assert_eq!(Presented::parse(legacy), Err(Refusal::LegacyForm));
}
