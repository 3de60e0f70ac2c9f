# %% [markdown]
# # fashion_mnist

# %%
1 + 1
