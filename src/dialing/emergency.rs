//! Emergency numbers, which this phone must not pretend to reach. Pure: no I/O.
//!
//! A browser does not know its location and cannot report it to the emergency services; a person who dials
//! an emergency number must learn this at once. Numbers of up to three digits count in every country: no
//! subscriber has one, and the caller's country is unknown.

use std::collections::BTreeSet;

use phonenumber::Metadata;

use super::numbering_plan::{self, DialledNumber, RegionMetadata};

/// Numbers that telephones treat as emergency numbers everywhere, with or without a SIM card: 3GPP TS 22.101,
/// clause 10.1.1 (<https://www.3gpp.org/dynareport/22101.htm>); and 988, the crisis line of the United States
/// (<https://www.fcc.gov/988-suicide-and-crisis-lifeline>) and of Canada.
const EVERYWHERE: [&str; 9] = ["000", "08", "110", "112", "118", "119", "911", "988", "999"];

/// Maximum length of a number that counts in every country.
const EVERYWHERE_DIGITS_MAX: usize = 3;

/// Emergency numbers of each region, from libphonenumber 9.0.33, `ShortNumberMetadata.xml`, `<emergency>`
/// (<https://github.com/google/libphonenumber/tree/master/resources>).
const TABLE: &str = "\
    AC 911 999; AD 110 112 116 118; AE 112 997 998 999; AF 100 102 119; AG 911 999; AI 911; AL \
    112 127 128 129; AM 101 102 103; AO 112 113 115; AR 100 101 107 911; AS 911; AT 112 122 133 \
    144; AU 000 106 112; AW 100 911; AX 112; AZ 101 102 103 112; BA 122 123 124; BB 211 311 511 \
    911; BD 100 101 102 199 999; BE 100 101 112; BF 17 18; BG 112 150 160 166; BH 199 999; BI \
    112 113 117; BJ 112 114 116 117 118; BL 18; BM 911; BN 991 993 995; BO 110 118 119; BQ 112 \
    911; BR 112 128 190 192 193 911; BS 911 919; BT 110 112 113; BW 911 997 998 999; BY 101 102 \
    103 112; BZ 90 911 990; CA 112 911; CC 000 112; CD 113 114 118 177 188; CF 117 118 1220; CG \
    117 118; CH 112 117 118 144; CI 110 111 170 180; CK 996 998 999; CL 131 132 133 911; CM 113 \
    117 13 17; CN 110 119 120; CO 112 119 123 132 156; CR 112 911; CU 104 105 106; CV 130 131 \
    132; CW 112 911; CX 000 112; CY 112 199; CZ 112 150 151 152 153 154 155 156 157 158 159; DE \
    110 112; DJ 17 18; DK 112 114; DM 333 911 999; DO 112 911; DZ 112 14 17; EC 101 102 112 911; \
    EE 110 112; EG 122 123 180; EH 15 177 19; ER 112 113 114 116 124422 127799 201606 201917 \
    202099 202914; ES 085 088 112; ET 91 911 92 93 939 991 997; FI 112; FJ 911 917; FK 999; FM \
    320221 911; FO 112 114; FR 112 15 17 18; GA 1300 1301 1302 1303 1304 1305 1306 1307 1308 \
    1309 1310 1311 1312 1313 1314 1315 1316 1317 1318 1319 1320 1321 1322 1323 1324 1325 1326 \
    1327 1328 1329 1330 1331 1332 1333 1334 1335 1336 1337 1338 1339 1340 1341 1342 1343 1344 \
    1345 1346 1347 1348 1349 1350 1351 1352 1353 1354 1355 1356 1357 1358 1359 1360 1361 1362 \
    1363 1364 1365 1366 1367 1368 1369 1370 1371 1372 1373 1374 1375 1376 1377 1378 1379 1380 \
    1381 1382 1383 1384 1385 1386 1387 1388 1389 1390 1391 1392 1393 1394 1395 1396 1397 1398 \
    1399 1730 18; GB 112 999; GD 911; GE 011 022 033 111 112 113 122; GF 15 17 18; GG 112 999; \
    GH 191 192 193 999; GI 112 190 199; GL 112; GM 116 117 118 16 17 18; GP 15 17 18; GR 100 112 \
    166 199; GT 110 120 123; GU 911; GW 113 117 118; GY 911 912 913; HK 112 992 999; HN 199; HR \
    112 192 193 194 93 94; HT 114 118; HU 104 105 107 112; ID 110 112 113 118 119; IE 112 999; \
    IL 100 101 102 112; IM 999; IN 100 101 102 108 112 1298 2611; IQ 100 104 115 122; IR 110 112 \
    115 125 911; IS 112; IT 112 113 115 118; JE 112 999; JM 110 112 119 911; JO 112 191 192 197 \
    911; JP 110 119; KE 112 114 999; KG 101 102 103; KH 117 118 119 666; KI 192 193 194 195 992 \
    993 994; KM 17 18; KN 333 911 999; KP 112 119 819; KR 112 119; KW 112; KY 911; KZ 101 102 \
    103 112; LA 190 191 195; LB 112 140 175 999; LC 911 999; LI 112 117 118 144; LK 110 112 116 \
    118 119; LR 355 911; LS 112 115 117; LT 01 011 02 022 03 033 101 102 103 112; LU 112 113; LV \
    01 02 03 110 112 113; LY 190 191 193; MA 15 177 19; MC 112 15 17 18; MD 112 901 902 903; ME \
    112 122 123 124; MF 15 17 18; MG 117 118 17 18; MH 911; MK 112 192 193 194; ML 15 17 18; MM \
    199; MN 100 101 102 103 105; MO 999; MP 911; MQ 112 15 17 18; MR 17 18; MS 911 999; MT 112; \
    MU 114 115 995 999; MV 102 118 119; MW 199 997 998 999; MX 060 065 066 068 080 911; MY 112 \
    999; MZ 117 119 197 198; NA 10111; NC 15 16 17 18; NE 118 15 17 18 723141; NF 911 955 977; \
    NG 199; NI 115 118 120 128; NL 112 911; NO 110 112 113; NP 100 101 102 103 112; NR 110 111 \
    112; NU 999; NZ 111; OM 1444 9999; PA 911; PE 105 116 117; PF 15 17 18; PG 000 110 111; PH \
    112 117 911; PK 112 1122 115 15 16; PL 112 997 998 999; PM 15 17 18; PR 911; PS 100 101 102; \
    PT 112 115; PW 911; PY 128 911; QA 999; RE 112 15 17 18; RO 112; RS 112 92 93 94; RU 01 02 \
    03 101 102 103 112; RW 111 112; SA 112 911 997 999; SB 999; SC 999; SD 999; SE 112 90000; SG \
    993 995 999; SH 911 999; SI 112 113; SJ 110 112 113; SK 112 150 155 158; SL 019 999; SM 113 \
    115 118; SN 17 18; SO 555 888 999; SR 115; SS 999; ST 112; SV 911 913; SX 919; SY 110 112 \
    113; SZ 999; TC 911 999; TD 17 18; TG 117 118 171 172 177; TH 1669 191 199; TJ 101 102 103 \
    112; TL 112 115; TM 01 02 03; TN 190 197 198; TO 911 922 933 999; TR 110 112 155; TT 990 \
    999; TV 911; TW 110 112 119; TZ 110 111 112 114 115 999; UA 101 102 103 112; UG 999; US 112 \
    911; UY 128 911; UZ 001 002 003 01 02 03 050; VA 112 113 115 118; VC 911 999; VE 112 171 \
    911; VG 911 999; VI 911; VN 113 114 115; VU 112; WF 15 17 18; WS 911 994 995 996 999; XK 112 \
    192 193 194; YE 191 194 195 199; YT 112 15; ZA 10111 10177 112; ZM 112 991 993 999; ZW 112 \
    993 994 995 999";

/// Whether a number dialled at `home` is an emergency number, with or without the trunk prefix, the exit code
/// or a country code in front.
pub(super) fn is_emergency(
    dialled: &DialledNumber,
    home: Option<RegionMetadata>,
    allowed: &BTreeSet<&'static str>,
) -> bool {
    let digits = dialled.digits.as_str();
    let near: Vec<&str> = allowed
        .iter()
        .copied()
        .chain(home.map(Metadata::id))
        .collect();
    if is_emergency_number(digits, &near) {
        return true;
    }
    let abroad = match (dialled.has_plus, home) {
        (true, _) => Some(digits),
        (false, Some(home)) => {
            let trunk = numbering_plan::strip_trunk_prefix(home, digits);
            if trunk.is_some_and(|rest| is_emergency_number(&rest, &near)) {
                return true;
            }
            let code = home.country_code().to_string();
            if digits
                .strip_prefix(&code)
                .is_some_and(|rest| is_emergency_number(rest, &near))
            {
                return true;
            }
            numbering_plan::strip_exit_code(home, digits)
        }
        (false, None) => None,
    };
    let Some(abroad) = abroad else {
        return false;
    };
    let split = numbering_plan::split_country_code(abroad).is_some_and(|(code, rest)| {
        let there: Vec<&str> = numbering_plan::regions_of_code(code)
            .iter()
            .map(|region| region.id())
            .collect();
        is_emergency_number(rest, &there)
    });
    split || is_emergency_number(abroad, &near)
}

/// Whether these digits are exactly an emergency number of one of the regions, or a short one of any region.
fn is_emergency_number(digits: &str, regions: &[&str]) -> bool {
    EVERYWHERE.contains(&digits)
        || table_rows().any(|(region, mut numbers)| {
            (digits.len() <= EVERYWHERE_DIGITS_MAX || regions.contains(&region))
                && numbers.any(|number| number == digits)
        })
}

/// Iterates over the table: regions and their numbers.
fn table_rows() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    TABLE.split(';').filter_map(|row| {
        let mut words = row.split_whitespace();
        Some((words.next()?, words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::E164;

    const US: &str = "+14155550123";
    const GB: &str = "+442079460000";
    const DE: &str = "+4930901820";
    const FR: &str = "+33142685300";

    fn asks_for_help(to: &str, caller_id: &str, allowed: &[&'static str]) -> bool {
        let home = numbering_plan::region_of_number(&E164::parse(caller_id).unwrap());
        let dialled = DialledNumber::parse(to).unwrap();
        is_emergency(&dialled, home, &allowed.iter().copied().collect())
    }

    #[test]
    fn help_is_recognised_however_it_is_written() {
        for (caller_id, to) in [
            (US, "911"),
            (US, "9-1-1"),
            (US, " 9 1 1 "),
            (US, "tel:911"),
            (US, "+911"),
            (US, "+1911"),
            (US, "+1 911"),
            (US, "1911"),
            (US, "011 1 911"),
            (US, "011 49 112"),
            (US, "112#"),
            (US, "988"),
            (US, "+1988"),
            // The caller may be anywhere.
            (US, "15"),
            (US, "000"),
            (GB, "999"),
            (GB, "+44 999"),
            (GB, "0999"),
            (DE, "110"),
            (DE, "0112"),
            (DE, "+49112"),
            (DE, "0049112"),
            (DE, "49112"),
            (FR, "17"),
            (FR, "18"),
            (FR, "+3315"),
            ("+81312345678", "119"),
            ("+61212345678", "000"),
            ("+8613812345678", "113"),
            ("+22720123456", "723141"),
            ("+46812345678", "90000"),
            (US, "+46 90000"),
        ] {
            assert!(asks_for_help(to, caller_id, &[]), "{to:?}");
        }
        assert!(asks_for_help("90000", US, &["US", "SE"]));
        // A caller ID without a numbering plan does not matter.
        assert!(asks_for_help("112", "+9991234567", &[]));
    }

    #[test]
    fn other_numbers_are_no_call_for_help() {
        for to in [
            "",
            "+",
            "411",
            "1411",
            "90000",
            "9111",
            "91 1234",
            "+14159111234",
            "415 555 0911",
            "+1 911 555 0123",
            "+49 112 3456",
            "112 112",
        ] {
            assert!(!asks_for_help(to, US, &["US", "CA"]), "{to:?}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_of_regions_that_exist() {
        let regions: Vec<&str> = table_rows().map(|(region, _)| region).collect();
        assert!(regions.is_sorted_by(|a, b| a < b));
        assert_eq!(regions.len(), 240);
        for (region, numbers) in table_rows() {
            assert!(numbering_plan::find_region(region).is_some(), "{region}");
            let numbers: Vec<&str> = numbers.collect();
            assert!(!numbers.is_empty(), "{region}");
            for number in numbers {
                let fits = number.bytes().all(|b| b.is_ascii_digit()) && number.len() <= 6;
                assert!(fits, "{region} {number}");
            }
        }
    }

    /// No subscriber's number is blocked: every number that can be called has more digits.
    #[test]
    fn no_international_number_is_as_short_as_a_call_for_help() {
        for (region, numbers) in table_rows() {
            let code = numbering_plan::find_region(region).unwrap().country_code();
            for number in numbers {
                let whole = E164::parse(&format!("+{code}{number}"));
                let known = whole.is_ok_and(|n| {
                    let dialled = DialledNumber::parse(n.as_str()).unwrap();
                    numbering_plan::parse_number(&dialled, None).is_some()
                });
                assert!(!known, "{region} {number}");
            }
        }
    }
}
