"""Models that may be used freely, pulled from their public addresses, checked, and kept as bundles.

``read`` gives the entries, ``pull`` a model's folder; ``shelf`` knows what is on this machine.
"""

from piaccel.catalogue.entries import Entry as Entry
from piaccel.catalogue.entries import entry_of as entry_of
from piaccel.catalogue.entries import read as read
from piaccel.catalogue.fetch import Network as Network
from piaccel.catalogue.pull import pull as pull
