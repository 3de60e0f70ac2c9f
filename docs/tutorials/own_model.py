# %% [markdown]
# # own_model

# %%
1 + 1
