//! What happens when something goes wrong: what the user sees, what the operator sees, what is kept.
//! Each row names the test that holds it; `tests::tidy` looks whether there is such a test.
//!
//! | fault | the user | the operator | kept | test |
//! |---|---|---|---|---|
//! | more calls than media streams | the call is connected; the page says that words are missing, until there is room | `/readyz` says so; `not_transcribed` in the call's log | words from when there is room | `a_call_that_there_is_no_room_to_hear_is_connected_and_says_so_until_there_is` |
//! | more speech than the engine can follow | drafts thin out, then finals come late; the page says "behind" | `callburner_queue_age_seconds`, `engine_jobs` | every final, up to two hours of speech | `while_the_recogniser_is_stuck_the_socket_is_read_and_afterwards_every_final_comes` |
//! | a recogniser panics | one utterance is marked as not transcribed | an error in the log, `callburner_segments{transcribed="false"}` | everything else; the worker lives on | `a_recogniser_that_panics_costs_one_utterance_and_no_thread` |
//! | the database is locked, or slow | calls go through; words come live | warnings in the log, `callburner_store_seconds` | what happened meanwhile, written down afterwards | `while_the_database_is_held_calls_go_through_and_are_made_up_for_afterwards` |
//! | the database cannot be used | calls go through; the list and old calls do not | `/readyz` is 503 | words in memory, until the database is back | `not_ready_without_its_database_or_its_disk` |
//! | the disk is full, or gone | the call goes on; its audio has a hole, or none | `/readyz` is 503, `callburner_archives` | words in memory, until there is room | `not_ready_without_its_database_or_its_disk` |
//! | a newer database | nothing: the server does not start | an error that says which version to run | the file is left alone | `a_newer_database_is_left_alone` |
//! | Twilio's REST API is down or slow | recording says `twilio_unreachable`; calls and words go on | the log | what Twilio tells later | `nobody_there_is_told_from_a_lost_answer` |
//! | an answer of Twilio's is lost | nothing twice | the log | one recording | `a_recording_whose_answer_was_lost_is_found_not_made_twice` |
//! | a stream breaks off | a gap; words go on under the same call | `stream_restarted` in the call's log | all that was heard | `a_stream_that_breaks_off_is_started_again_and_its_words_are_joined` |
//! | a callback is lost, repeated or late | at most a late state | nothing | the right state | `a_callback_counts_once_even_if_it_says_something_new` |
//! | `kill -9`, a crash | the page comes back, with all words until then | a warning at the next start | what was published | `words_outlive_a_server_that_is_killed_in_mid_call_and_the_next_one_goes_on` |
//! | SIGTERM | calls finish; new ones are told to come back | `/readyz` is 503; the log says each stage | everything | `a_drain_lets_calls_finish_and_tells_new_ones_to_come_back` |
//! | a stop in mid-word | the last words, then "comes back" | the log | the last words | `a_stop_in_the_middle_of_a_word_publishes_it_says_goodbye_and_ends_every_worker` |
//! | media that floods, lies or is garbage | nothing: it is its own call alone | `callburner_media_messages_lost` | what was heard before | `beside_attackers_a_good_call_loses_no_word` |
//! | too many media sockets | 503, until one leaves | `callburner_media_streams` | the open ones | `one_socket_too_many_is_refused_until_another_has_left` |
//! | connections that ask slowly | nothing | nothing | their place is free again | `who_asks_slowly_is_hung_up_on_and_costs_nobody_else` |
//! | bodies without end | nothing | 413 | nothing | `a_body_without_end_is_not_read_to_its_end` |
//! | requests that are nonsense | nothing | 4xx | everything | `nonsense_gets_a_defined_answer_where_everyone_may_everything` |
//! | a page that does not read | its socket is closed; it comes back and misses nothing | nothing | every final | see `tests::live` |
//! | the model is missing, or damaged | nothing: the server does not start | an error that says what to run; `callburner doctor` | everything | see `tests::doctor` |
//! | the clock is set | nothing within a call: its clock is monotonic; new epochs make pages read anew | the doctor compares with Twilio | everything | see [`crate::hub`] |
//!
//! Proved in part alone: of "the database cannot be used" and "the disk is full", that `/readyz` says
//! so and that the archive goes on; words kept in memory are proved for a locked database. Of "Twilio's
//! REST API is down", that its failures are told apart. Rows that say "see" have no test of the whole
//! row yet, and a slow disk and a clock that is set were never tried.
