"""When a plan changes: the rule that says which federation plan holds in which round, for which client.

A plan that stays the same is a :class:`Constant` rule. One that changes is a subclass of :class:`PlanRule`, chosen by a
YAML file in ``conf/plan/`` whose ``rule`` names it:

    # After a round the last layers stay with the clients whose layers drifted: plan=mine plan.rule.round=2
    name: mine
    rule:
      _target_: package.module.Mine
      round: 2 # the round that is looked at, 1 or more

The rule lives on the server. Round r goes like this: clients are sent what is the server's newest for them, train, and
send the layers that ``holding(r, client)`` shares; each layer becomes the mean over those who sent it, and goes back to
everybody whose plan shares it. A layer that is personal in round r goes on from the client's own weights, until a
round in which it is shared brings the server's. Then the rule is shown what was measured (:meth:`PlanRule.observe`) and
sent (:meth:`PlanRule.learn`), and may answer otherwise for the rounds after r; what it has answered must stay true.
Its ``state`` is saved with every round and given back when a run goes on.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record, Row


@dataclass(frozen=True)
class TrainedRound:
    """What the clients of a round sent after training.

    Attributes:
        number: the round.
        weights: client -> name -> the arrays of the layers that it sent; to be read only.
        shares: client -> its share in the server's mean over all of them, summing to 1.
    """

    number: int
    weights: Mapping[int, Mapping[str, np.ndarray]]
    shares: Mapping[int, float]


class PlanRule:
    """Says which plan holds in which round, for which client.

    A constructor takes settings and checks them; what depends on model or clients is checked in :meth:`begin`.
    """

    # Whether plans differ between rounds or clients.
    changes: ClassVar[bool] = True
    # How to read the values of the rule's own rows.
    facts: ClassVar[tuple[Facts, ...]] = ()
    # The quantities (the column ``metric``) whose rows :meth:`observe` wants to see; some metric must measure them.
    observes: Sequence[str] = ()
    # The rounds in which they must be measured; a run whose metrics do not is refused.
    observed_in: Sequence[int] = ()
    # The model's layers in order, how many clients there are, and the run's seed.
    layers: tuple[Layer, ...] = ()
    clients: int = 0
    seed: int = 0

    def begin(self, layers: Sequence[Layer], clients: int, seed: int) -> None:
        """Take notice of the run before its first round.

        Args:
            layers: the model's layers, in order.
            clients: how many clients there are.
            seed: the run's seed; draw from :mod:`fedlayers.core.seeding` with a purpose, the round and the client.

        Raises:
            UserError: the rule does not go with the model, such as for a layer that it does not have.
        """
        self.layers, self.clients, self.seed = tuple(layers), clients, seed

    @abstractmethod
    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that holds for a client in a round, whether it takes part or not.

        Args:
            server_round: 0 (before the first one) to the one after the last that it was shown.
            client: the client's index.
        """

    def needs_weights(self, server_round: int) -> bool:
        """Say whether :meth:`learn` wants every client's weights in a round: they then all come to the server."""
        return False

    def learn(self, trained: TrainedRound) -> None:
        """Look at what clients sent, in rounds in which :meth:`needs_weights`."""

    def observe(self, rows: Sequence[Row]) -> None:
        """Look at rows of the quantities that it observes, with round, moment, client and layer, soon after they exist.

        What is measured only because a round is the last one is not shown: a run that goes on has another last round.
        """

    def rows(self, server_round: int) -> list[Record]:
        """Return rows of the rule's own about a round whose training is done and measured, such as why it chose a plan.

        Args:
            server_round: the round; what was measured after aggregation is shown after this is asked.
        """
        return []

    def state(self) -> dict[str, Any]:
        """Return what it has learnt, as JSON would hold it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` returned."""


class Constant(PlanRule):
    """The same plan in all rounds for all clients.

    Args:
        plan: the plan.
    """

    changes = False

    def __init__(self, plan: FederationPlan) -> None:
        self.plan = plan

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan."""
        return self.plan
