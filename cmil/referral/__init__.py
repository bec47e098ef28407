"""When the model should not be trusted: referral, shift of a centre, too few patches.

A referral rule and a shift reference are fitted on development patients, frozen with the model,
and applied to external centres unchanged. Import from the modules; none loads torch or matplotlib
but `figures`.
"""
