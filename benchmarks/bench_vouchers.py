"""Signing and verifying vouchers, one core, against eth-account in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

from blackhole.chain.signers import LocalSigner
from blackhole.chain.values import address
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner, VoucherVerifier
from eth_account import Account
from eth_account.messages import encode_typed_data
from results import measured, write

ROUNDS = 9
OURS, PEER = 5_000, 100
HUB, PAYEE = address("0x" + "12" * 20), address("0x" + "34" * 20)


def typed(cumulative: int) -> dict[str, object]:
    return {
        "domain": {"name": "Blackhole PaymentHub", "version": "1", "chainId": 31337, "verifyingContract": HUB},
        "primaryType": "Voucher",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Voucher": [
                {"name": "payee", "type": "address"},
                {"name": "service", "type": "uint16"},
                {"name": "lane", "type": "uint32"},
                {"name": "cumulative", "type": "uint48"},
            ],
        },
        "message": {"payee": PAYEE, "service": 1, "lane": 0, "cumulative": cumulative},
    }


def rate(work: Callable[[int], object], count: int) -> float:
    """Operations a second of this process's own time."""
    began = time.process_time()
    for number in range(1, count + 1):
        work(number)
    return count / (time.process_time() - began)


def main() -> None:
    signer = LocalSigner.generate()
    account = Account.create()
    domain = VoucherDomain(31337, HUB)
    voucher = VoucherSigner(domain, PAYEE, 1, 0, signer)
    verifier = VoucherVerifier(domain, PAYEE, 1, 0, signer.address)
    rows = [voucher.sign(number) for number in range(OURS + 1)]
    signatures = [
        account.sign_message(encode_typed_data(full_message=typed(number))).signature for number in range(PEER + 1)
    ]

    def verify(number: int) -> None:
        assert verifier.verify(rows[number]) == number

    def peer_verify(number: int) -> None:
        message = encode_typed_data(full_message=typed(number))
        assert Account.recover_message(message, signature=signatures[number]) == account.address

    def peer_sign(number: int) -> None:
        account.sign_message(encode_typed_data(full_message=typed(number)))

    for work in (verify, voucher.sign):
        work(1)
    ours_verify, theirs_verify, ours_sign, theirs_sign = [], [], [], []
    for _ in range(ROUNDS):
        ours_verify.append(rate(verify, OURS))
        theirs_verify.append(rate(peer_verify, PEER))
        ours_sign.append(rate(voucher.sign, OURS))
        theirs_sign.append(rate(peer_sign, PEER))
    write(
        "vouchers",
        [
            measured(
                "verify (peer: eth-account)", ours_verify, "vouchers/s", peer=theirs_verify, goal="≥ 20,000/s a core"
            ),
            measured("sign (peer: eth-account)", ours_sign, "vouchers/s", peer=theirs_sign),
        ],
    )


if __name__ == "__main__":
    main()
