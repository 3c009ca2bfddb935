"""What every service holds: a network, its chain, who signs, and where own files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from blackhole.chain.client import Chain, Wait
from blackhole.chain.signers import Signer
from blackhole.chain.values import Address, Receipt, Tx
from blackhole.errors import KeyMissing
from blackhole.network import Network
from blackhole.paths import Home

if TYPE_CHECKING:
    from blackhole.chain.bindings.blackhole_token import BlackholeToken
    from blackhole.chain.bindings.dispute_manager import DisputeManager
    from blackhole.chain.bindings.fee_splitter import FeeSplitter
    from blackhole.chain.bindings.lane_receipts import LaneReceipts
    from blackhole.chain.bindings.node_registry import NodeRegistry
    from blackhole.chain.bindings.panel_arbitrator import PanelArbitrator
    from blackhole.chain.bindings.payment_hub import PaymentHub
    from blackhole.chain.bindings.service_catalog import ServiceCatalog
    from blackhole.chain.bindings.stake_manager import StakeManager
    from blackhole.chain.bindings.storage_market import StorageMarket


@dataclass
class Connection:
    """Shared by all services of one `Blackhole`. The contracts are loaded when one is first used."""

    network: Network
    chain: Chain
    signer: Signer | None
    home: Home
    wait: Wait = "latest"
    """When writes return: mined, or final."""

    @property
    def account(self) -> Address:
        """The signer's account. Raises `KeyMissing`."""
        return self.require_signer().address

    def require_signer(self) -> Signer:
        """Who signs. Raises `KeyMissing` when nobody was named."""
        if self.signer is None:
            raise KeyMissing("this operation signs, and no key was given")
        return self.signer

    async def send(self, tx: Tx[Any], *, intent: str | None = None, gas: int | None = None) -> Receipt:
        """Send one transaction with the connection's signer."""
        return await self.chain.send(tx, self.require_signer(), wait=self.wait, gas=gas, intent=intent)

    async def send_many(
        self, transactions: Sequence[Tx[Any]], *, intents: Sequence[str | None] | None = None
    ) -> list[Receipt]:
        """Send transactions in order with the connection's signer."""
        return await self.chain.send_many(transactions, self.require_signer(), wait=self.wait, intents=intents)

    @cached_property
    def token(self) -> BlackholeToken:
        from blackhole.chain.bindings.blackhole_token import BlackholeToken

        return BlackholeToken(self.network.address("BlackholeToken"))

    @cached_property
    def hub(self) -> PaymentHub:
        from blackhole.chain.bindings.payment_hub import PaymentHub

        return PaymentHub(self.network.address("PaymentHub"))

    @cached_property
    def splitter(self) -> FeeSplitter:
        from blackhole.chain.bindings.fee_splitter import FeeSplitter

        return FeeSplitter(self.network.address("FeeSplitter"))

    @cached_property
    def lane_receipts(self) -> LaneReceipts:
        from blackhole.chain.bindings.lane_receipts import LaneReceipts

        return LaneReceipts(self.network.address("LaneReceipts"))

    @cached_property
    def catalog(self) -> ServiceCatalog:
        from blackhole.chain.bindings.service_catalog import ServiceCatalog

        return ServiceCatalog(self.network.address("ServiceCatalog"))

    @cached_property
    def registry(self) -> NodeRegistry:
        from blackhole.chain.bindings.node_registry import NodeRegistry

        return NodeRegistry(self.network.address("NodeRegistry"))

    @cached_property
    def vault(self) -> StakeManager:
        from blackhole.chain.bindings.stake_manager import StakeManager

        return StakeManager(self.network.address("StakeManager"))

    @cached_property
    def disputes(self) -> DisputeManager:
        from blackhole.chain.bindings.dispute_manager import DisputeManager

        return DisputeManager(self.network.address("DisputeManager"))

    @cached_property
    def panel(self) -> PanelArbitrator:
        from blackhole.chain.bindings.panel_arbitrator import PanelArbitrator

        return PanelArbitrator(self.network.address("PanelArbitrator"))

    @cached_property
    def market(self) -> StorageMarket:
        from blackhole.chain.bindings.storage_market import StorageMarket

        return StorageMarket(self.network.address("StorageMarket"))

    async def close(self) -> None:
        """Give keys and connections back."""
        await self.chain.close()
