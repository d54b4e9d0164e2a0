//! Converts British to American spelling, the last step of [`super::normalise`]. Pure: no I/O, no state.
//!
//! It applies rules to families of words, each with a list of stems, instead of a dictionary: a rule covers
//! the forms that a list forgets. Where a rule depends only on an ending, the words that both spellings share
//! ("advertise", "likewise") are listed as exceptions.

use std::borrow::Cow;

/// Returns `text` with each word in American spelling, separated by single spaces.
pub(super) fn americanise(text: &str) -> String {
    text.split_whitespace()
        .map(americanise_word)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns one lower-case word in American spelling; words of other scripts are unchanged.
fn americanise_word(word: &str) -> Cow<'_, str> {
    if word.len() < 3 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return Cow::Borrowed(word);
    }
    if let Some((_, american)) = word_pairs(WORDS).find(|(british, _)| *british == word) {
        return Cow::Borrowed(american);
    }
    let rules = [
        change_beginning,
        simplify_vowels,
        our_to_or,
        re_to_er,
        ogue_to_og,
        gramme_to_gram,
        yse_to_yze,
        undouble_l,
        double_l,
        ise_to_ize,
    ];
    rules
        .iter()
        .fold(Cow::Borrowed(word), |word, rule| match rule(&word) {
            Some(american) => Cow::Owned(american),
            None => word,
        })
}

/// Single words, each followed by its American form.
const WORDS: &str = "\
    grey gray greys grays greyed grayed greying graying greyish grayish greyness grayness \
    cheque check cheques checks chequebook checkbook chequebooks checkbooks chequered checkered \
    tyre tire tyres tires jewellery jewelry aeroplane airplane aeroplanes airplanes aeon eon aeons eons \
    \
    pyjama pajama pyjamas pajamas storey story storeys stories cosy cozy cosier cozier cosies \
    cozies cosiest coziest cosily cozily cosiness coziness programme program \
    programmes programs axe ax disc disk discs disks \
    practise practice practised practiced practises practices practising practicing \
    licence license licences licenses licenced licensed licencing licensing \
    defence defense defences defenses defenceless defenseless \
    offence offense offences offenses pretence pretense pretences pretenses \
    carcase carcass carcases carcasses connexion connection connexions connections \
    inflexion inflection inflexions inflections cypher cipher cyphers ciphers \
    instalment installment instalments installments instal install instals installs \
    judgement judgment judgements judgments acknowledgement acknowledgment \
    acknowledgements acknowledgments abridgement abridgment likeable likable liveable livable \
    sizeable sizable saleable salable artefact artifact artefacts artifacts ageing aging \
    woollen woolen woollens woolens woolly wooly woollies woolies chilli chili phoney phony \
    tonne ton tonnes tons philtre filter philtres filters sheikh sheik misspelt misspelled \
    exorcise exorcize exorcised exorcized exorcises exorcizes exorcising exorcizing \
    busses buses bussing busing minibusses minibuses gasses gases biassed biased biassing biasing \
    glueing gluing bingeing binging gage gauge gaged gauged gages gauges gaging gauging \
    gipsies gypsies gryphon griffin gryphons griffins groyne groin groynes groins \
    glamor glamour flautist flutist flautists flutists pouffe pouf pouffes poufs \
    videodisc videodisk videodiscs videodisks enquire inquire accoutrements accouterments";

/// Splits a list of words into pairs.
fn word_pairs(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut words = list.split_ascii_whitespace();
    std::iter::from_fn(move || Some((words.next()?, words.next()?)))
}

fn is_listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == word)
}

/// Splits `word` into one of `stems` and one of `endings`; returns the stem, and the index of the ending.
fn split_stem<'w>(word: &'w str, stems: &str, endings: &[&str]) -> Option<(&'w str, usize)> {
    endings.iter().enumerate().find_map(|(index, ending)| {
        let stem = word.strip_suffix(ending)?;
        is_listed(stems, stem).then_some((stem, index))
    })
}

/// Changes the first part of a word, in front of any ending: ploughman, moustachioed, centrepiece.
fn change_beginning(word: &str) -> Option<String> {
    const FAMILIES: &str = "\
        aluminium aluminum plough plow snowplough snowplow draught draft gaol jail kerb curb \
        sceptic skeptic sulph sulf moustach mustach omelette omelet epaulette epaulet \
        jeweller jeweler waggon wagon syphon siphon yoghurt yogurt yoghourt yogurt baulk balk \
        behov behoov calliper caliper callisthen calisthen bannister banister almanack almanac \
        fillet filet tranquilli tranquili worshipp worship marvellous \
        marvelous libellous libelous gruelling grueling clarinett clarinet panellist panelist \
        praesid presid bougainvillaea bougainvillea aetiolog etiolog chequer checker \
        centrefold centerfold centrepiece centerpiece fibreglass fiberglass \
        theatregoer theatergoer mould mold smoulder smolder moult molt remould remold";
    let (british, american) =
        word_pairs(FAMILIES).find(|(british, _)| word.starts_with(british))?;
    Some(format!("{american}{}", &word[british.len()..]))
}

/// Simplifies Greek and Latin vowels: anaemia, foetus.
fn simplify_vowels(word: &str) -> Option<String> {
    const FAMILIES: &str = "\
        aesthet esthet anaem anem anaesth anesth archaeolog archeolog \
        caesarean cesarean diarrhoea diarrhea cyclopaedi cyclopedi faec fec foet fet \
        gynaecolog gynecolog haem hem leukaem leukem mediaeval medieval primaeval primeval \
        oesophag esophag oestrogen estrogen orthopaed orthoped paediatr pediatr paedo pedo \
        palaeo paleo septicaem septicem toxaem toxem uraem urem homoeopath homeopath \
        oedema edema edoema edema gonorrhoea gonorrhea pharmacopoeia pharmacopeia \
        chimaera chimera manoeuvra maneuvera manoeuvre maneuver manoeuvri maneuveri";
    let (british, american) = word_pairs(FAMILIES).find(|(british, _)| word.contains(british))?;
    let word = word.replacen(british, american, 1);
    // manoeuvred and manoeuvrer lose the e of the ending with that of -re.
    Some(match word.strip_suffix("maneuverd") {
        Some(before) => format!("{before}maneuvered"),
        None => word,
    })
}

/// Replaces -our: colour, honourable.
fn our_to_or(word: &str) -> Option<String> {
    const STEMS: [&str; 33] = [
        "arb", "ard", "arm", "behavi", "cand", "clam", "clang", "col", "demean", "dol", "enam",
        "endeav", "fav", "ferv", "flav", "harb", "hon", "hum", "lab", "neighb", "od", "parl",
        "ranc", "rig", "rum", "sav", "savi", "splend", "succ", "tum", "val", "vap", "vig",
    ];
    let at = word.find("our")?;
    let (stem, ending) = (&word[..at], &word[at + "our".len()..]);
    let known = STEMS.iter().any(|known| stem.ends_with(known));
    known.then(|| format!("{stem}or{ending}"))
}

/// Replaces -re: centre, theatres, kilometre.
fn re_to_er(word: &str) -> Option<String> {
    const STEMS: &str = "\
        cent epicent theat amphitheat met lit fib sab calib spect meag lust lacklust somb scept \
        sepulch mit goit louv reconnoit saltpet kilomet centimet millimet micromet nanomet \
        decilit centilit millilit hectolit";
    let (stem, ending) = split_stem(word, STEMS, &["re", "res", "red", "ring"])?;
    Some(format!("{stem}{}", ["er", "ers", "ered", "ering"][ending]))
}

/// Replaces -ogue: catalogue, dialogues.
fn ogue_to_og(word: &str) -> Option<String> {
    const STEMS: &str = "catalog dialog analog monolog epilog prolog uncatalog";
    let (stem, ending) = split_stem(word, STEMS, &["ue", "ues", "ued", "uing", "uer", "uers"])?;
    Some(format!(
        "{stem}{}",
        ["", "s", "ed", "ing", "er", "ers"][ending]
    ))
}

/// Replaces -gramme: kilogramme.
fn gramme_to_gram(word: &str) -> Option<String> {
    const STEMS: &str = "gram kilogram centigram milligram aerogram";
    let (stem, ending) = split_stem(word, STEMS, &["me", "mes"])?;
    Some(format!("{stem}{}", ["", "s"][ending]))
}

/// Replaces -yse: analyse, paralysed.
fn yse_to_yze(word: &str) -> Option<String> {
    const STEMS: &str = "anal breathal catal electrol hydrol paral psychoanal";
    let (stem, ending) = split_stem(
        word,
        STEMS,
        &["yse", "yses", "ysed", "yser", "ysers", "ysing"],
    )?;
    Some(format!(
        "{stem}{}",
        ["yze", "yzes", "yzed", "yzer", "yzers", "yzing"][ending]
    ))
}

/// Makes a double l single after an unstressed vowel: travelled.
fn undouble_l(word: &str) -> Option<String> {
    const STEMS: &str = "\
        apparel backpedal barrel bedevil bejewel bevel cancel carol cavil channel chisel council \
        counsel cruel cudgel dial disembowel dishevel drivel duel empanel enamel equal fuel \
        funnel gambol gravel grovel gruel hovel impanel imperil initial jewel kennel label \
        laurel level libel marshal marvel medal metal model nickel outrival panel parallel \
        parcel pedal pencil pistol pummel quarrel ravel refuel remodel revel rival rowel shovel \
        shrivel signal snivel snorkel spiral squirrel stencil swivel symbol tassel tinsel total \
        towel trammel travel trial trowel tunnel unequal unravel unrival untrammel victual \
        weasel yodel";
    const ENDINGS: [&str; 10] = [
        "ed", "ing", "ings", "er", "ers", "or", "ors", "ist", "ists", "est",
    ];
    ENDINGS.iter().find_map(|ending| {
        let stem = word.strip_suffix(ending)?.strip_suffix('l')?;
        is_listed(STEMS, stem).then(|| format!("{stem}{ending}"))
    })
}

/// Doubles a stressed l: skilful, enrolment.
fn double_l(word: &str) -> Option<String> {
    const STEMS: &str = "appal distil enrol enthral fulfil instil skil wil";
    const ENDINGS: [&str; 6] = ["", "s", "ment", "ments", "ful", "fully"];
    let (stem, ending) = split_stem(word, STEMS, &ENDINGS)?;
    Some(format!("{stem}l{}", ENDINGS[ending]))
}

/// Replaces -ise: organise, realisation, recognisably. The rule depends on the ending, so its exceptions are
/// listed.
fn ise_to_ize(word: &str) -> Option<String> {
    /// Whole stems of words that keep their s.
    const UNCHANGED_STEMS: &str = "\
        ar appr apra br bra bru cer cha chem comp compr conc cru dem dev disgu emp enterpr exc \
        fra frambo gu hag inc ir lia likew mal marqu merchand mort no obe otherw pav pa parad \
        imparad pelv pen pleb po porpo portcull prem prom r re rem repr rev sunr moonr highr upr \
        subd surm tap tell tort treat trell turquo val verdigr v w cr chrysal clemat clitor \
        epiderm hypoderm mant metropol megalopol necropol acropol amaryll cannab probosc torticoll";
    /// Ends of stems of words that keep their s: television, misadvised, clockwise, overpraise.
    const UNCHANGED_STEM_ENDINGS: &str = "\
        adv vert pra tra ra wi w chast circumc comprom desp exerc expert franch improv \
        merchand no po prec prom superv surpr surm telev disgu enterpr rev bru parad obe \
        complai pr a o u";
    /// Stems of agent nouns (-iser); listed, because French infinitives have the same ending.
    const AGENT_STEMS: &str = "\
        appet atom colon deodor econom energ equal fertil general human immobil item legal \
        merchand modern moistur neutral organ oxid popular pulver pressur recogn sanit solemn \
        stabil steril summar sympath synthes temper tender tranquil vapor visual vulgar woman";
    const ENDINGS: [&str; 15] = [
        "isational",
        "isations",
        "isation",
        "isable",
        "isably",
        "isance",
        "isement",
        "isements",
        "isingly",
        "ising",
        "isers",
        "iser",
        "ised",
        "ises",
        "ise",
    ];
    let (stem, ending) = ENDINGS
        .iter()
        .find_map(|ending| Some((word.strip_suffix(ending)?, ending.strip_prefix("is")?)))?;
    let stays = is_listed(UNCHANGED_STEMS, stem)
        || UNCHANGED_STEM_ENDINGS
            .split_ascii_whitespace()
            .any(|end| stem.ends_with(end))
        || (ending == "es"
            && stem.ends_with("it")
            && !is_listed("desensit digit priorit sanit sensit", stem))
        || (ending.starts_with("er") && !is_listed(AGENT_STEMS, stem));
    let changes = stem == "ghetto" || (stem.len() > 2 && !stays);
    changes.then(|| format!("{stem}iz{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_changes_in_all_its_forms() {
        for (british, expected) in [
            (
                "ploughmen draughty moustachioed",
                "plowmen drafty mustachioed",
            ),
            (
                "haemorrhage anaesthetist foetal",
                "hemorrhage anesthetist fetal",
            ),
            (
                "manoeuvre manoeuvred manoeuvring",
                "maneuver maneuvered maneuvering",
            ),
            (
                "colour discoloured neighbourhood",
                "color discolored neighborhood",
            ),
            (
                "centre centred centring kilometres",
                "center centered centering kilometers",
            ),
            (
                "catalogue catalogued dialogues",
                "catalog cataloged dialogs",
            ),
            (
                "kilogrammes programmes programmer",
                "kilograms programs programmer",
            ),
            (
                "analyse paralysed catalysing",
                "analyze paralyzed catalyzing",
            ),
            (
                "traveller cancelled councillors",
                "traveler canceled councilors",
            ),
            (
                "skilfully fulfilment instils",
                "skillfully fulfillment instills",
            ),
            (
                "organisation recognisable sanitises",
                "organization recognizable sanitizes",
            ),
            (
                "grey tyres cheque practised licence",
                "gray tires check practiced license",
            ),
        ] {
            assert_eq!(americanise(british), expected);
        }
    }

    #[test]
    fn words_that_both_spellings_share_stay() {
        for shared in [
            "hour four your pour tour detour contour source course journey",
            "advise advertised promise promising surprised otherwise clockwise paradise exercise",
            "wise rising noise praise raised precise crises premises televised supervisor",
            "called killed telling seller controlled compelled patrolling excellent",
            "are here more fire before theory metric literal",
            "arthritis synthesis irises pelvises analysis",
            "cosine programmed greyhound diameter parliament",
            "mum vice localiser",
        ] {
            assert_eq!(americanise(shared), shared);
        }
    }
}
