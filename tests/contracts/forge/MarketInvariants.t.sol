// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {Content, MarketFixture} from "./MarketFixture.sol";

/// @dev Random lives of two nodes with up to a dozen deals. The handler keeps its own books: who proved what, at which rate.
contract MarketHandler is MarketFixture {
    uint256[] public ids;
    /// @dev Wei that must have been released on a deal so far, by the handler's own count of periods.
    mapping(uint256 => uint256) public earned;
    mapping(uint256 => mapping(uint32 => uint96)) private _rateAt;
    mapping(uint256 => uint32) private _countedTo;
    mapping(uint256 => uint256) public put;
    mapping(uint256 => uint256) public returned;
    mapping(uint32 => mapping(uint32 => bool)) public proven;
    mapping(uint32 => mapping(uint32 => bool)) private _owed;
    /// @dev By number of the statement: what the handler saw happen that must not.
    mapping(uint256 statement => string) public violation;
    uint256 private _contentCount;
    address private immutable _sink;

    constructor() {
        deployAll();
        _sink = makeAddr("sink");
    }

    function count() external view returns (uint256) {
        return ids.length;
    }

    // ------------------------------------------------------------------------------------------------ actions

    function openDeal(uint256 seed, uint256 length) external {
        if (ids.length >= 12) return;
        uint32 on = seed & 1 == 0 ? node : other;
        Content memory c = _content(seed);
        Terms memory t = terms(on, c);
        t.start += uint32(seed >> 8 & 1);
        t.end = t.start + uint32(bound(length, 1, 14));
        t.rate = uint96(bound(seed >> 16, 0, 5)) * RATE + 7;
        t.prepaid = t.rate * (t.end - t.start) + uint96(seed % 3);
        bool mustFail = market.isProving(on) || market.ledgerOf(on).endedAt != 0;
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        try market.open(t, a, b) returns (uint256 id) {
            if (mustFail) violation[11] = "opened between draw and proof, or on an ended node";
            ids.push(id);
            contents[id] = c;
            put[id] = t.prepaid;
            _countedTo[id] = t.start;
            for (uint32 p = t.start; p < t.end; ++p) {
                _rateAt[id][p] = t.rate;
            }
        } catch {}
    }

    function changeDeal(uint256 seed, uint256 pick) external {
        if (ids.length == 0) return;
        uint256 id = ids[pick % ids.length];
        Agreement memory before = market.agreementOf(id);
        Content memory c = seed & 3 == 0 ? contents[id] : _content(seed);
        Change memory ch = change(id, c);
        ch.rate = uint96(bound(seed >> 16, 0, 4)) * RATE + 3;
        ch.end = market.currentPeriod() + uint32(bound(seed >> 24, 1, 14));
        ch.prepaid = ch.rate * 14;
        (bytes memory a, bytes memory b) = signChange(ch);
        bool mustFail = market.isProving(before.node) || market.ledgerOf(before.node).endedAt != 0;
        try market.change(ch, a, b) {
            if (mustFail) violation[11] = "changed between draw and proof, or on an ended node";
            contents[id] = c;
            put[id] += ch.prepaid;
            uint32 from = market.currentPeriod() + 1;
            if (from < before.start) from = before.start;
            for (uint32 p = from; p < from + 20; ++p) {
                _rateAt[id][p] = p < ch.end ? ch.rate : 0;
            }
        } catch {}
    }

    /// @dev Everything right but one of the two signatures, which is a stranger's: nobody is bound, nobody is charged.
    function forge_(uint256 seed, uint256 pick) external {
        (, uint256 key) = makeAddrAndKey("forger");
        bool forPayer = seed & 2 == 0;
        bool done;
        if (ids.length == 0 || seed & 4 == 0) {
            Terms memory t = terms(seed & 1 == 0 ? node : other, _content(seed));
            bytes memory own = sign(key, market.termsDigest(t));
            (bytes memory a, bytes memory b) = (forPayer ? own : signPayer(t), forPayer ? signNode(t) : own);
            try market.open(t, a, b) {
                done = true;
            } catch {}
        } else {
            Change memory c = change(ids[pick % ids.length], _content(seed));
            bytes memory own = sign(key, market.changeDigest(c));
            (bytes memory a, bytes memory b) = signChange(c);
            if (forPayer) a = own;
            else b = own;
            try market.change(c, a, b) {
                done = true;
            } catch {}
        }
        if (done) violation[forPayer ? 14 : 15] = "bound by a stranger's signature";
    }

    function terminateDeal(uint256 pick, bool byPayer) external {
        if (ids.length == 0) return;
        uint256 id = ids[pick % ids.length];
        vm.prank(byPayer ? payer : keysOf[market.agreementOf(id).node].owner);
        try market.terminate(id) {} catch {}
    }

    function closeDeal(uint256 pick) external {
        if (ids.length == 0) return;
        uint256 id = ids[pick % ids.length];
        uint32 on = market.agreementOf(id).node;
        bool mustFail = market.isProving(on) && market.ledgerOf(on).endedAt == 0;
        _bookEarnings(id);
        uint256 before = hub.balanceOf(payer);
        try market.close(id) {
            if (mustFail) violation[11] = "closed between draw and proof";
            returned[id] = hub.balanceOf(payer) - before;
        } catch {}
    }

    /// @dev One period: from the draw of the one before, with proofs as drawn, to its end.
    function nextPeriod(uint256 seed) external {
        uint32 p = market.currentPeriod();
        toPeriod(p + 1);
        if (seed & 15 == 0) return;
        market.draw(p);
        pass(seed & 31 == 1 ? 300 : Protocol.DRAW_DELAY + 1);
        market.draw(p);
        (, uint8 samples) = market.seedOf(p);
        if (samples == 0) return;
        _tryProve(node, p, seed >> 8 & 3 != 0);
        _tryProve(other, p, seed >> 10 & 1 != 0);
        if (seed >> 12 & 3 != 0) passWindow();
    }

    function _tryProve(uint32 on, uint32 p, bool wants) private {
        if (market.treeTotal(on) == 0) return;
        bytes memory a = answers(on, p);
        if (!wants) a[a.length - 2] ^= 0x01;
        try market.prove(on, p, a) {
            if (!wants) violation[11] = "a wrong answer verified";
            proven[on][p] = true;
        } catch {}
    }

    function settleAll(uint256 gas_) external {
        for (uint256 i = 0; i < ids.length; ++i) {
            _bookEarnings(ids[i]);
        }
        uint256[] memory all = ids;
        try market.settle{gas: bound(gas_, 50_000, 5_000_000)}(all) {} catch {}
    }

    function report(uint256 pick, uint256 back) external {
        if (ids.length == 0) return;
        uint256 id = ids[pick % ids.length];
        uint32 on = market.agreementOf(id).node;
        uint32 p = market.currentPeriod() - uint32(bound(back, 0, 4));
        Agreement memory a = market.agreementOf(id);
        (uint168 seed,) = market.seedOf(p);
        (, uint40 closesAt, uint40 closesBlock) = market.windowOf(p);
        bool mustFail = seed == 0 || vm.getBlockTimestamp() <= closesAt || vm.getBlockNumber() <= closesBlock
            || p < a.start || p >= a.end || proven[on][p];
        vm.prank(reporter);
        try market.reportMissed(on, p, id) {
            if (mustFail) violation[17] = "a fault without a duty";
        } catch {}
    }

    // -------------------------------------------------------------------------------------------------- books

    /// @dev What settlement must have paid by the periods the handler saw proven, for a deal whose books are still open.
    function _bookEarnings(uint256 id) private {
        (uint32 to, uint256 due) = dueOf(id);
        if (to <= _countedTo[id]) return;
        earned[id] += due;
        _countedTo[id] = to;
    }

    function dueOf(uint256 id) public view returns (uint32 to, uint256 due) {
        Agreement memory a = market.agreementOf(id);
        to = a.settledTo;
        for (uint32 p = _countedTo[id]; p < to; ++p) {
            if (proven[a.node][p]) due += _rateAt[id][p];
        }
    }

    function paidOf(uint256 id) external view returns (uint256) {
        return put[id] - returned[id] - hub.lockOf(address(market), id).amount;
    }

    function expectedOf(uint256 id) external view returns (uint256) {
        (, uint256 due) = dueOf(id);
        return earned[id] + due;
    }

    /// @dev The payer's balance and locks, and what nodes and the fee's sink hold of his money.
    function money() external view returns (uint256 his, uint256 theirs) {
        his = hub.balanceOf(payer);
        for (uint256 i = 0; i < ids.length; ++i) {
            his += locked(ids[i]);
        }
        theirs = hub.balanceOf(keysOf[node].owner) + hub.balanceOf(keysOf[other].owner) + hub.balanceOf(_sink);
    }

    function sums(uint32 on) external view returns (uint256 open_, uint256 total, uint256 reserve, uint256 live) {
        for (uint256 i = 0; i < ids.length; ++i) {
            Agreement memory a = market.agreementOf(ids[i]);
            if (a.node != on || (a.status != Status.Open && a.status != Status.Terminated)) continue;
            ++live;
            open_ += a.leaves;
            reserve += uint256(a.leaves) * a.collateralPerLeaf;
        }
        total = market.treeTotal(on);
    }

    /// @dev Walks all leaves of a node by the tree and compares place and content.
    function walk(uint32 on) external view returns (bool) {
        uint48 index;
        Ledger memory l = market.ledgerOf(on);
        for (uint24 position = 0; position < l.positions; ++position) {
            uint256 id = market.idAt(on, position);
            if (id == 0) continue;
            Agreement memory a = market.agreementOf(id);
            if (a.position != position || a.node != on) return false;
            for (uint48 i = 0; i < a.leaves; ++i) {
                (uint256 found, uint48 offset) = market.leafAt(on, index++);
                if (found != id || offset != i) return false;
            }
        }
        return index == l.leaves;
    }

    function nodes() external view returns (uint32, uint32) {
        return (node, other);
    }

    function theMarket() external view returns (address) {
        return address(market);
    }

    function reservedOf(uint32 on) external view returns (uint256) {
        return reserved(on);
    }

    function marketFunds() external view returns (uint256 held, uint256 owed) {
        held = hub.balanceOf(address(market));
        for (uint32 on = node; on <= other; ++on) {
            for (uint16 round = 0; round <= market.ledgerOf(on).round; ++round) {
                owed += market.fundOf(on, round).amount;
            }
        }
    }

    function countOf(uint32 on) external view returns (uint256) {
        return market.ledgerOf(on).count;
    }

    function _content(uint256 seed) private returns (Content memory c) {
        c = content(bytes32(++_contentCount), uint8(bound(seed >> 32, 1, 4)));
        if (seed >> 40 & 1 == 0) return c;
        return content(bytes32(_contentCount), 1, uint8(bound(seed >> 48, 1, 3)), 2);
    }
}

/// forge-config: default.invariant.runs = 12
/// forge-config: default.invariant.depth = 80
contract MarketInvariantsTest is MarketFixture {
    MarketHandler private _handler;

    function setUp() public {
        _handler = new MarketHandler();
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = MarketHandler.openDeal.selector;
        selectors[1] = MarketHandler.changeDeal.selector;
        selectors[2] = MarketHandler.terminateDeal.selector;
        selectors[3] = MarketHandler.closeDeal.selector;
        selectors[4] = MarketHandler.nextPeriod.selector;
        selectors[5] = MarketHandler.settleAll.selector;
        selectors[6] = MarketHandler.report.selector;
        // Time passes more often than anything else happens.
        selectors[7] = MarketHandler.nextPeriod.selector;
        selectors[8] = MarketHandler.nextPeriod.selector;
        selectors[9] = MarketHandler.forge_.selector;
        targetSelector(FuzzSelector(address(_handler), selectors));
        targetContract(address(_handler));
    }

    /// @dev Statement 9: paid = rate * proven periods, exactly.
    function invariant_9_paid_is_rate_times_proven_periods() public view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            uint256 id = _handler.ids(i);
            assertEq(_handler.paidOf(id), _handler.expectedOf(id), "paid");
        }
    }

    /// @dev Statement 11: a changed answer never verifies; between a draw and the proof no deal of a node changes.
    function invariant_11_no_wrong_answer_verifies_and_nothing_changes_while_proving() public view {
        _none(11);
    }

    /// @dev Statement 14: the payer's money moves by his signature only, to the payees he named or back to him.
    function invariant_14_the_payers_money_goes_to_named_payees_or_back() public view {
        _none(14);
        (uint256 his, uint256 theirs) = _handler.money();
        uint256 paid;
        for (uint256 i = 0; i < _handler.count(); ++i) {
            paid += _handler.expectedOf(_handler.ids(i));
        }
        assertEq(theirs, paid, "nobody has more than was earned");
        assertEq(his + paid, 1000 * HOLE, "and the rest is his");
    }

    /// @dev Statement 15: no deal and no reserve without the node's signature; reserves are those of what it signed.
    function invariant_15_no_obligation_without_the_nodes_signature() public view {
        _none(15);
        (uint32 a, uint32 b) = _handler.nodes();
        for (uint32 on = a; on <= b; ++on) {
            (,, uint256 reserve,) = _handler.sums(on);
            assertEq(_handler.reservedOf(on), reserve, "reserve");
        }
    }

    /// @dev Statement 17: a period that was not drawn, is open, was proven or is not owed never causes a fault.
    function invariant_17_no_fault_without_a_duty() public view {
        _none(17);
    }

    function _none(uint256 statement) private view {
        string memory found = _handler.violation(statement);
        assertEq(bytes(found).length, 0, found);
    }

    /// @dev Statement 16: sum-tree total = ledger = sum of the leaves of open agreements, each where the tree says.
    function invariant_16_tree_ledger_and_agreements_agree() public view {
        (uint32 a, uint32 b) = _handler.nodes();
        for (uint32 on = a; on <= b; ++on) {
            (uint256 open_, uint256 total,, uint256 live) = _handler.sums(on);
            assertEq(total, open_, "ledger");
            assertEq(_handler.countOf(on), live, "count");
            assertTrue(_handler.walk(on), "tree");
        }
    }

    /// @dev The market holds what its funds say, no more and no less: nothing was paid from it here.
    function invariant_funds_are_held_in_the_bank() public view {
        (uint256 held, uint256 owed) = _handler.marketFunds();
        assertEq(held, owed);
    }
}
