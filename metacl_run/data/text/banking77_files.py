"""Reads BANKING77 (Casanueva et al. 2020, arXiv 2003.04807): questions of bank customers, 77 intents of one domain.

`train.csv` and `test.csv` as the authors publish them, with the columns text and category. The intents have 35 to 187 training
texts and 40 test texts each; how many is written down here, so settings are checked before the files are looked at.
"""

from __future__ import annotations

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.data.files.finding import find_folder
from metacl_run.data.files.reading import printed
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.text_notes import on_repeated_texts
from metacl_run.data.text.text_source import INSTEAD, SplitTexts
from metacl_run.data.text.text_table import Columns, read_table

FILES = ("train.csv", "test.csv")
FOLDERS = ("banking77", "banking_data", "task-specific-datasets/banking_data")
"""Where below the data root the files may be."""
WHENCE = "https://github.com/PolyAI-LDN/task-specific-datasets, folder banking_data"
TEST_TEXTS = 40
"""Of each intent."""
_TEXTS = """
    card_arrival:153 card_linking:139 exchange_rate:112 card_payment_wrong_exchange_rate:167 extra_charge_on_statement:166
    pending_cash_withdrawal:143 fiat_currency_support:126 card_delivery_estimate:112 automatic_top_up:127
    card_not_working:112 exchange_via_app:118 lost_or_stolen_card:82 age_limit:110 pin_blocked:115
    contactless_not_working:35 top_up_by_bank_transfer_charge:111 pending_top_up:149 cancel_transfer:157 top_up_limits:97
    wrong_amount_of_cash_received:180 card_payment_fee_charged:187 transfer_not_received_by_recipient:171
    supported_cards_and_currencies:129 getting_virtual_card:98 card_acceptance:59 top_up_reverted:146
    balance_not_updated_after_cheque_or_cash_deposit:181 card_payment_not_recognised:168 edit_personal_details:121
    why_verify_identity:121 unable_to_verify_identity:102 get_physical_card:106 visa_or_mastercard:135
    topping_up_by_card:103 disposable_card_limits:121 compromised_card:86 atm_support:87
    direct_debit_payment_not_recognised:182 passcode_forgotten:105 declined_cash_withdrawal:173 pending_card_payment:159
    lost_or_stolen_phone:121 request_refund:169 declined_transfer:133 Refund_not_showing_up:162 declined_card_payment:153
    pending_transfer:148 terminate_account:108 card_swallowed:61 transaction_charged_twice:175 verify_source_of_funds:113
    transfer_timing:128 reverted_card_payment?:161 change_pin:122 beneficiary_not_allowed:156 transfer_fee_charged:172
    receiving_money:95 failed_transfer:137 transfer_into_account:113 verify_top_up:126 getting_spare_card:129
    top_up_by_cash_or_cheque:114 order_physical_card:120 virtual_card_not_working:41
    wrong_exchange_rate_for_cash_withdrawal:163 get_disposable_virtual_card:97 top_up_failed:145
    balance_not_updated_after_bank_transfer:171 cash_withdrawal_not_recognised:160 exchange_charge:121
    top_up_by_card_charge:114 activate_my_card:159 cash_withdrawal_charge:177 card_about_to_expire:129
    apple_pay_or_google_pay:126 verify_my_identity:104 country_support:129
"""
TRAIN_TEXTS = {word.partition(":")[0]: int(word.partition(":")[2]) for word in _TEXTS.split()}
"""Of each intent, in the order of the authors' categories.json."""


def banking77_parts() -> tuple[Catalogue, Catalogue]:
    """The training part and the test part. All intents are of one domain, so each is its own group."""
    names = list(TRAIN_TEXTS)
    train, test = (
        Catalogue(names=names, counts=counts, groups=names, group_word="domains", class_word="intents")
        for counts in (np.array(list(TRAIN_TEXTS.values())), np.full(len(names), TEST_TEXTS))
    )
    return train, test


def read_banking77(root: str) -> SplitTexts:
    """Both parts, 10,003 and 3,080 texts.

    Raises:
        DataError: the files are missing, or not what they should be.
    """
    folder = find_folder(root, name="BANKING77", files=FILES, folders=FOLDERS, whence=WHENCE, instead=INSTEAD)
    position = {intent: place for place, intent in enumerate(TRAIN_TEXTS)}
    texts: list[list[str]] = []
    classes: list[np.ndarray] = []
    for file, catalogue in zip(FILES, banking77_parts(), strict=True):
        path = folder / file
        table = read_table(path, Columns(text="text", label="category", task=None, split=None))
        names = [position.get(label) for label in table.labels]
        if None in names:
            unknown = table.labels[names.index(None)]
            raise DataError(f"{printed(path)}: has the category {unknown[:100]!r}, which BANKING77 does not have.")
        y = np.array(names, np.int64)[table.y]
        counts = np.bincount(y, minlength=len(position))
        if (counts != catalogue.counts).any():
            wrong = int(np.flatnonzero(counts != catalogue.counts)[0])
            expected = f"expected {catalogue.counts[wrong]} texts of {catalogue.names[wrong]}, found {counts[wrong]}"
            raise DataError(f"{printed(path)}: {expected}. Half-written, or not BANKING77.")
        texts.append(table.texts)
        classes.append(y)
    train, test = texts
    notes = on_repeated_texts("BANKING77", train, test)
    return SplitTexts(texts=[*train, *test], y=np.concatenate(classes), num_train=len(train), notes=notes)
