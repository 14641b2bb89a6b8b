"""Reads CLINC150 (Larson et al. 2019, arXiv 1909.02027): short English requests to an assistant, 150 intents of 10 domains.

`data_full.json` as the authors publish it: {"train": [[text, intent], ...], "val": ..., "test": ..., "oos_train": ..., ...}.
The training part is its 100 training texts of each intent, the test part its 30 test texts. The 20 validation texts of each
intent are not read: protocols hold validation texts out of the training part, as they do with every source. The intents and
domains are written down here, so settings are checked before the file is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.core.files import read_at_most
from metacl_run.data.files.finding import find_folder
from metacl_run.data.files.reading import printed, reading
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.text_notes import on_repeated_texts
from metacl_run.data.text.text_source import INSTEAD, SplitTexts

FILE = "data_full.json"
FOLDERS = ("clinc150", "oos-eval/data", "")
"""Where below the data root the file may be."""
WHENCE = "https://github.com/clinc/oos-eval, folder data, or from the UCI repository, where it is called CLINC150"
MOST_BYTES = 2**25
"""The real file has a tenth of this."""
TRAIN_TEXTS, TEST_TEXTS, OUT_OF_SCOPE_TEXTS = 100, 30, 1000
"""Texts of each intent; and those of no intent."""
INTENTS = {
    domain: intents.split()
    for domain, intents in {
        "banking": (
            "freeze_account routing pin_change bill_due pay_bill account_blocked interest_rate min_payment bill_balance "
            "transfer order_checks balance spending_history transactions report_fraud"
        ),
        "credit_cards": (
            "replacement_card_duration expiration_date damaged_card improve_credit_score report_lost_card card_declined "
            "credit_limit_change apr redeem_rewards credit_limit rewards_balance application_status credit_score new_card "
            "international_fees"
        ),
        "kitchen_and_dining": (
            "food_last confirm_reservation how_busy ingredients_list calories nutrition_info recipe restaurant_reviews "
            "restaurant_reservation meal_suggestion restaurant_suggestion cancel_reservation ingredient_substitution "
            "cook_time accept_reservations"
        ),
        "home": (
            "what_song play_music todo_list_update reminder reminder_update calendar_update order_status update_playlist "
            "shopping_list calendar next_song order todo_list shopping_list_update smart_home"
        ),
        "auto_and_commute": (
            "current_location oil_change_when oil_change_how uber traffic tire_pressure schedule_maintenance gas mpg distance "
            "directions last_maintenance gas_type tire_change jump_start"
        ),
        "travel": (
            "plug_type travel_notification translate flight_status international_visa timezone exchange_rate "
            "travel_suggestion travel_alert vaccines lost_luggage book_flight book_hotel carry_on car_rental"
        ),
        "utility": (
            "weather alarm date find_phone share_location timer make_call calculator definition measurement_conversion "
            "flip_coin spelling time roll_dice text"
        ),
        "work": (
            "pto_request_status next_holiday insurance_change insurance meeting_schedule payday taxes income rollover_401k "
            "pto_balance pto_request w2 schedule_meeting direct_deposit pto_used"
        ),
        "small_talk": (
            "who_made_you meaning_of_life who_do_you_work_for do_you_have_pets what_are_your_hobbies fun_fact "
            "what_is_your_name where_are_you_from goodbye thank_you greeting tell_joke are_you_a_bot how_old_are_you "
            "what_can_i_ask_you"
        ),
        "meta": (
            "change_speed user_name whisper_mode yes change_volume no change_language repeat change_accent cancel sync_device "
            "change_user_name change_ai_name reset_settings maybe"
        ),
    }.items()
}
"""The intents of each domain, in the order of the authors' domains.json."""


def clinc150_parts() -> tuple[Catalogue, Catalogue]:
    """The training part and the test part."""
    names = [intent for intents in INTENTS.values() for intent in intents]
    groups = [domain for domain, intents in INTENTS.items() for _ in intents]
    train, test = (
        Catalogue(names=names, counts=np.full(len(names), texts), groups=groups, group_word="domains", class_word="intents")
        for texts in (TRAIN_TEXTS, TEST_TEXTS)
    )
    return train, test


def read_clinc150(root: str) -> SplitTexts:
    """Both parts, 15,000 and 4,500 texts.

    Raises:
        DataError: the file is missing, or not what it should be.
    """
    path, content = _content(root)
    parts = [_part(path, content, name, part) for name, part in zip(("train", "test"), clinc150_parts(), strict=True)]
    (train, train_y), (test, test_y) = parts
    return SplitTexts(
        texts=[*train, *test],
        y=np.concatenate([train_y, test_y]),
        num_train=len(train),
        notes=on_repeated_texts("CLINC150", train, test),
    )


def read_out_of_scope(root: str) -> Sequence[str]:
    """[1000] requests that belong to none of the intents, of the test part. Raises as `read_clinc150` does."""
    path, content = _content(root)
    texts = [text for text, _ in _pairs(path, content, "oos_test")]
    if len(texts) != OUT_OF_SCOPE_TEXTS:
        raise DataError(f"{printed(path)}: expected {OUT_OF_SCOPE_TEXTS} texts in 'oos_test', found {len(texts)}.")
    return texts


def _content(root: str) -> tuple[Path, Any]:
    folder = find_folder(root, name="CLINC150", files=[FILE], folders=FOLDERS, whence=WHENCE, instead=INSTEAD)
    path = folder / FILE
    with reading(path):
        content = read_at_most(path, MOST_BYTES)
    try:
        return path, json.loads(content)
    except (ValueError, RecursionError) as error:  # no UTF-8, or no JSON
        raise DataError(f"{printed(path)}: not JSON ({error}). Half-written, or not CLINC150? Remove it.") from None


def _part(path: Path, content: Any, name: str, catalogue: Catalogue) -> tuple[list[str], np.ndarray]:
    """The texts of one part and their intents, whose numbers are checked."""
    pairs, position = _pairs(path, content, name), {intent: place for place, intent in enumerate(catalogue.names)}
    unknown = next((intent for _, intent in pairs if intent not in position), None)
    if unknown is not None:
        raise DataError(f"{printed(path)}: '{name}' has the intent {unknown[:100]!r}, which CLINC150 does not have.")
    y = np.array([position[intent] for _, intent in pairs], np.int64)
    counts = np.bincount(y, minlength=len(position))
    if (counts != catalogue.counts).any():
        wrong = int(np.flatnonzero(counts != catalogue.counts)[0])
        raise DataError(
            f"{printed(path)}: expected {catalogue.counts[0]} texts of every intent in '{name}', but "
            f"{catalogue.names[wrong]} has {counts[wrong]}. Is it another file of the same repository? {FILE} is read."
        )
    return [text for text, _ in pairs], y


def _pairs(path: Path, content: Any, name: str) -> list[list[str]]:
    """[[text, intent], ...] of one key."""
    pairs = content.get(name) if isinstance(content, dict) else None
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise DataError(f"{printed(path)}: expected a list of pairs of a text and an intent under '{name}'. Not CLINC150.")
    return pairs


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) and word.strip() for word in pair)
