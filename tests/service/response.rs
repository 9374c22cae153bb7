//! Who waits, and how long those waited that were answered.
//!
//! A history is written in words of a letter and a time in seconds: `c` customer, `a` and `A` two
//! agents, `b` bot, `B` bot whose event shows the room as resolved, `u` sender of unknown type, `k` broadcast, `n` notice in an agent's name, `r`
//! reaction of the customer, `R` room resolved, `S` snapshot of a resolved room without a time.

use qontak_receiver::model::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{ORGANIZATION, Service, TRUNCATE_ALL};

const BEGIN: i64 = 1_749_700_000;

fn time(seconds: i64) -> String {
    Timestamp::from_unix(BEGIN + seconds).unwrap().to_string()
}

/// Event of the history of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    at: i64,
    letter: char,
}

fn words(history: &str) -> Vec<Word> {
    let word =
        |word: &str| Word { letter: word.chars().next().unwrap(), at: word[1..].parse().unwrap() };
    history.split_whitespace().map(word).collect()
}

/// Body of an event. The room is resolved from a resolution until the customer writes again.
fn body(room: &str, word: Word, history: &[Word]) -> Value {
    let Word { at, letter } = word;
    let before = history.iter().filter(|other| other.at <= at && "cBRS".contains(other.letter));
    let last = before.max_by_key(|other| (other.at, other.letter != 'c'));
    let is_resolved = last.is_some_and(|last| last.letter != 'c');
    let status = if is_resolved { "resolved" } else { "assigned" };
    let snapshot = json!({"id": room, "channel": "wa_cloud", "type": "Models::CustomerServiceRoom",
        "organization_id": ORGANIZATION, "status": status, "last_activity_at": time(at)});
    if letter == 'R' {
        return json!({"event_type": "room_resolved", "organization_id": ORGANIZATION,
            "data": {"room_id": room, "resolved_at": time(at), "resolved_by": "agent"}});
    }
    if letter == 'S' {
        let mut snapshot = snapshot;
        snapshot["data_event"] = json!("add_agent");
        return snapshot;
    }
    let (author, sender) = match letter {
        'c' | 'r' => ("customer", "customer"),
        'A' => ("agent", "another"),
        'b' | 'B' => ("bot", "bot"),
        'u' => ("supervisor", "supervisor"),
        _ => ("agent", "agent"),
    };
    let kind = if author == "customer" { "customer" } else { "agent" };
    json!({"data_event": format!("receive_message_from_{kind}"), "id": format!("{room}-{letter}{at}"),
        "room_id": room, "organization_id": ORGANIZATION, "created_at": time(at), "status": "created",
        "participant_type": author, "sender_id": sender, "is_campaign": letter == 'k',
        "type": match letter { 'n' => "system", 'r' => "reaction", _ => "text" }, "room": snapshot})
}

async fn post(service: &Service, body: Value) {
    let response = service.post(body.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied", "{body}");
}

/// Waits that `author` ended, in order of their end, in seconds; those that are the first since the
/// room began or was resolved have a `!`.
async fn measured(service: &Service, room: &str, author: &str) -> String {
    let waits: Vec<String> = sqlx::query_scalar(
        "select extract(epoch from at - asked_at)::int || case when is_first then '!' else '' end
         from response where room_id = $1 and author = $2 order by at, message_id",
    )
    .bind(room)
    .bind(author)
    .fetch_all(&service.db)
    .await
    .unwrap();
    waits.join(" ")
}

async fn waits_now(service: &Service) -> Vec<String> {
    let rooms = service.data("/v1/rooms?response=unanswered&limit=500").await;
    let mut ids: Vec<String> =
        rooms.as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().into()).collect();
    ids.sort();
    ids
}

const WEEK: &str = "604801";

#[sqlx::test]
async fn waits_begin_and_end_as_defined(db: PgPool) {
    let service = Service::start(db).await;
    let late = format!("c0 c{WEEK} a604861");
    // History, waits ended by agents, waits ended by bots, whether the customer waits now.
    let cases = [
        ("c0 a60", "60!", "", false),
        ("c0 c30 a60 a70 A80", "60!", "", false),
        ("c0", "", "", true),
        ("a0", "", "", false),
        ("a0 c10 a20", "10!", "", false),
        // Nobody's words.
        ("c0 n5 a600 r610", "600!", "", false),
        ("c0 k60", "", "", true),
        ("c0 k60 a600", "600!", "", false),
        ("c0 a10 c20 n30 r40", "10!", "", true),
        ("k0 r10", "", "", false),
        // Bots are measured apart; their word is an answer, but not an agent's.
        ("c0 b5", "", "5!", false),
        ("c0 b5 a60", "60!", "5!", false),
        ("c0 b5 c10 b12 a60", "60!", "5! 2", false),
        ("c0 a5 c10 b13", "5!", "3", false),
        ("c0 u5 b8 a20", "20!", "", false),
        ("c0 u5", "", "", false),
        // Two agents, several waits.
        ("c0 a10 A20 c30 A50", "10! 20", "", false),
        // At one instant the customer was first.
        ("a0 c0", "0!", "", false),
        ("c0 a10 R10 c20 a25", "10! 5!", "", false),
        // A resolution ends a wait.
        ("c0 b5 R6 c100 a700", "600!", "5!", false),
        ("c0 B5 c100 a700", "600!", "5!", false),
        ("c0 R50 c100 a160", "60!", "", false),
        ("c0 R50", "", "", false),
        ("c0 R50 a60", "", "", false),
        ("c0 a10 R20 c30", "10!", "", true),
        ("c0 a10 S20 c30 a35", "10! 5!", "", false),
        ("c0 S20 c30 a35", "5!", "", false),
        ("c0 a10 c20 a25 R30 c40 a41 c50 a53", "10! 5 1! 3", "", false),
        // A week of silence.
        ("c0 a172800", "172800!", "", false),
        (&late, "60!", "", false),
    ];
    let mut waiting = Vec::new();
    for (i, (history, agents, bots, waits)) in cases.iter().enumerate() {
        for order in ["forwards", "backwards"] {
            let room = format!("{i:02}-{order}");
            let mut sent = words(history);
            if order == "backwards" {
                sent.reverse();
            }
            for word in &sent {
                post(&service, body(&room, *word, &sent)).await;
            }
            assert_eq!(measured(&service, &room, "agent").await, *agents, "{history} {order}");
            assert_eq!(measured(&service, &room, "bot").await, *bots, "{history} {order}");
            if *waits {
                waiting.push(room);
            }
        }
    }
    waiting.sort();
    assert_eq!(waits_now(&service).await, waiting);
    service.state().await;
}

/// The same rules, written as a walk over the sorted history.
fn expected(history: &[Word]) -> Vec<(i64, char, i64, bool)> {
    let mut sorted: Vec<(i64, u8, char)> = history
        .iter()
        .map(|word| {
            let rank = match word.letter {
                'c' => 0,
                'R' | 'S' => 2,
                _ => 1,
            };
            (word.at, rank, word.letter)
        })
        .collect();
    let resolving = history.iter().filter(|word| word.letter == 'B');
    sorted.extend(resolving.map(|word| (word.at, 2, 'R')));
    sorted.sort();
    let (mut agent, mut bot): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut is_answered = [false; 2];
    let mut responses = Vec::new();
    // A wait begins with the first word after the last gap of more than a week.
    let begin = |asked: &[i64]| {
        let gap = asked.windows(2).rposition(|pair| pair[1] - pair[0] > 7 * 86_400);
        asked.get(gap.map_or(0, |gap| gap + 1)).copied()
    };
    for (at, _, letter) in sorted {
        match letter {
            'c' => {
                agent.push(at);
                bot.push(at);
            }
            'a' | 'A' => {
                if let Some(asked) = begin(&agent) {
                    responses.push((at, letter, asked, !is_answered[0]));
                    is_answered = [true; 2];
                }
                agent.clear();
                bot.clear();
            }
            'b' | 'B' => {
                if let Some(asked) = begin(&bot) {
                    responses.push((at, letter, asked, !is_answered[1]));
                    is_answered[1] = true;
                }
                bot.clear();
            }
            'u' => {
                is_answered[1] |= !bot.is_empty();
                bot.clear();
            }
            'R' | 'S' => {
                agent.clear();
                bot.clear();
                is_answered = [false; 2];
            }
            _ => {}
        }
    }
    responses
}

async fn kept(service: &Service, room: &str) -> Vec<(i64, char, i64, bool)> {
    let rows: Vec<(i64, String, i64, bool)> = sqlx::query_as(
        "select extract(epoch from at)::bigint - $2, message_id,
             extract(epoch from asked_at)::bigint - $2, is_first
         from response where room_id = $1 order by at, message_id",
    )
    .bind(room)
    .bind(BEGIN)
    .fetch_all(&service.db)
    .await
    .unwrap();
    let letter = |id: String| id[room.len() + 1..].chars().next().unwrap();
    rows.into_iter().map(|(at, id, asked, first)| (at, letter(id), asked, first)).collect()
}

/// Generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

#[sqlx::test]
async fn random_histories_in_any_order_with_repeats_lead_to_the_same_waits(db: PgPool) {
    let service = Service::start(db).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..80 {
        let room = format!("r{round}");
        let letters: Vec<char> = "ccccaaAbbBuknrRS".chars().collect();
        let mut history: Vec<Word> = Vec::new();
        for _ in 0..4 + random.below(10) {
            let unit = if random.below(8) == 0 { 500_000 } else { 1 };
            let at = random.below(14) as i64 * unit;
            let word = Word { letter: letters[random.below(letters.len())], at };
            if !history.contains(&word) {
                history.push(word);
            }
        }
        let mut sent = history.clone();
        sent.extend(history.iter().copied().filter(|_| random.below(3) == 0));
        random.shuffle(&mut sent);
        for word in &sent {
            post(&service, body(&room, *word, &history)).await;
        }
        assert_eq!(kept(&service, &room).await, expected(&history), "{sent:?}");
    }
    service.state().await;
}

#[sqlx::test]
async fn every_order_of_a_history_leads_to_the_same_waits(db: PgPool) {
    let service = Service::start(db).await;
    let history = words("c0 k5 b6 S7 c20 a30");
    let mut orders: Vec<Vec<Word>> = vec![Vec::new()];
    for word in &history {
        orders = orders
            .iter()
            .flat_map(|order| {
                (0..=order.len()).map(|place| {
                    let mut longer = order.clone();
                    longer.insert(place, *word);
                    longer
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 720);
    for (i, order) in orders.iter().enumerate().step_by(5) {
        let room = format!("r{i}");
        for word in order {
            post(&service, body(&room, *word, &history)).await;
        }
        assert_eq!(measured(&service, &room, "agent").await, "10!", "{order:?}");
        assert_eq!(measured(&service, &room, "bot").await, "6!", "{order:?}");
    }
    service.state().await;
}

#[sqlx::test]
async fn corrected_messages_move_their_waits(db: PgPool) {
    let service = Service::start(db).await;
    // Reports of one answer, and the waits of agents and bots that follow from both.
    let cases = [
        (
            json!({"participant_type": "agent"}),
            json!({"participant_type": "bot", "room": {"last_activity_at": time(95)}}),
            ("", "60!"),
        ),
        (json!({}), json!({"is_campaign": true, "room": {"last_activity_at": time(95)}}), ("", "")),
        (json!({"created_at": time(90)}), json!({"created_at": time(60)}), ("60!", "")),
        (json!({"participant_type": null, "sender_type": null}), json!({}), ("60!", "")),
    ];
    for (i, (one, other, (agents, bots))) in cases.iter().enumerate() {
        for (order, reports) in [("forwards", [one, other]), ("backwards", [other, one])] {
            let room = format!("r{i}{order}");
            post(&service, body(&room, words("c0")[0], &words("c0"))).await;
            for (status, report) in ["sent", "delivered"].iter().zip(reports) {
                let mut event = body(&room, words("a60")[0], &words("c0 a60"));
                event["data_event"] = json!("status_message");
                event["status"] = json!(status);
                event.as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
                post(&service, event).await;
            }
            assert_eq!(measured(&service, &room, "agent").await, *agents, "{one} {other} {order}");
            assert_eq!(measured(&service, &room, "bot").await, *bots, "{one} {other} {order}");
        }
    }
    assert_eq!(waits_now(&service).await, ["r1backwards", "r1forwards"]);
    service.state().await;
}

#[sqlx::test]
async fn a_late_status_ends_no_wait_and_a_missed_message_of_the_customer_begins_one(db: PgPool) {
    let service = Service::start(db).await;
    let history = words("c0 a10 c20");
    for word in &history {
        post(&service, body("r", *word, &history)).await;
    }
    let mut status = body("r", history[1], &history);
    status["data_event"] = json!("status_message");
    status["status"] = json!("read");
    post(&service, status.clone()).await;
    assert_eq!(waits_now(&service).await, ["r"]);
    post(&service, body("r", words("a30")[0], &history)).await;
    assert_eq!(waits_now(&service).await, Vec::<String>::new());
    // A snapshot of a session that began later than all messages.
    let snapshot = |at: i64, is_unresponded: Value| {
        json!({"data_event": "add_agent", "id": "r", "channel": "wa_cloud", "status": "assigned",
            "type": "Models::CustomerServiceRoom", "organization_id": ORGANIZATION,
            "last_activity_at": time(at), "session_at": time(at), "last_message_at": time(at),
            "is_unresponded": is_unresponded})
    };
    post(&service, snapshot(30, Value::Null)).await;
    assert_eq!(waits_now(&service).await, Vec::<String>::new());
    post(&service, snapshot(60, Value::Null)).await;
    assert_eq!(waits_now(&service).await, ["r"]);
    post(&service, snapshot(90, json!(false))).await;
    assert_eq!(waits_now(&service).await, Vec::<String>::new());
    // Messages without a room wait for nobody.
    let mut message = body("x", words("c0")[0], &[]);
    message.as_object_mut().unwrap().retain(|name, _| !name.starts_with("room"));
    post(&service, message).await;
    assert_eq!(waits_now(&service).await, Vec::<String>::new());
    // A message whose event has no copy of the room: the room is not known to be resolved.
    let mut message = body("y", words("c0")[0], &[]);
    message.as_object_mut().unwrap().remove("room");
    post(&service, message).await;
    assert_eq!(waits_now(&service).await, ["y"]);
    let rooms = service.data("/v1/stats").await["rooms"].take();
    assert_eq!(rooms, json!({"open": 1, "unanswered": 1, "is_sample": false}));
    post(&service, body("y", words("S1")[0], &words("S1"))).await;
    assert_eq!(waits_now(&service).await, Vec::<String>::new());
    service.execute(TRUNCATE_ALL).await;
    assert_eq!(service.count("response").await + service.count("room_word").await, 0);
}

#[sqlx::test]
async fn session_of_a_message_that_is_nobodys_word_leaves_nobody_waiting(db: PgPool) {
    let service = Service::start(db).await;
    let at = |second: u8| format!("2025-06-12T02:20:{second:02}.000Z");
    let message = |room: &str, fields: Value| {
        let mut body = json!({"data_event": "receive_message_from_customer", "id": room,
            "room_id": room, "organization_id": ORGANIZATION, "participant_type": "customer",
            "created_at": at(0), "room": {"id": room, "status": "unassigned", "session_at": at(0),
                "last_message_at": at(0), "last_activity_at": at(0), "unread_count": 1}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let campaign = json!({"participant_type": "agent", "is_campaign": true});
    post(&service, message("reaction", json!({"type": "reaction"}))).await;
    post(&service, message("notice", json!({"type": "system"}))).await;
    post(&service, message("campaign", campaign)).await;
    assert_eq!(waits_now(&service).await, [""; 0]);
    // The session of a message that was not received.
    let mut later = message("later", json!({"type": "reaction"}));
    later["room"]["session_at"] = at(30).into();
    later["room"]["last_message_at"] = at(30).into();
    post(&service, later).await;
    assert_eq!(waits_now(&service).await, ["later"]);
}
