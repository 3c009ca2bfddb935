// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// UUPS. Parameters only; bounds are constants of the implementation, so the DAO cannot pass them.
interface IServiceCatalog {
    struct Service {                      // 2 slots
        address verifier;                 // 160  written once: the one contract that may reserve stake and report faults of this id
        uint16 faultBps;                  //  16  share of a node's reserve taken at misses 3, 6, 9; <= 1000
        uint16 bountyBps;                 //  16  reporter's share of a slash; <= 2000 (faults: <= 500)
        uint16 samples;                   //  16  leaves a node-period; counts from the next undrawn period
        uint8 flags;                      //   8  1 open to new deals, 2 retired
        uint40 closedUntil;               //  40                                                            (256)
        uint96 minBond;                   //  96  wei
        uint64 collateralPerLeaf;         //  64  wei a leaf, copied into each agreement: no oracle          (160)
    }
    function service(uint16 id) external view returns (Service memory);
    function setService(uint16 id, Service calldata s) external;      // Timelock; live agreements keep their copy
    function closeEntries(uint16 id, uint40 until) external;          // Guardian: <= 7 d, once per 60 d
}
